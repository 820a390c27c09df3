/* In place of glibc's, where nvcc makes GPU code for Windows. int64_t is long there and long long on Windows: both
   have 64 bits, but a kernel's name says which, and the CPU's part asks for it by name. */
#ifndef _BITS_STDINT_INTN_H
#define _BITS_STDINT_INTN_H 1

typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;

#endif
