// CPython's build configuration on 64-bit Windows, as a compiler of extension modules must see
// it. CPython's other headers are the same on every platform; this one a Linux installation has
// only for Linux. It states facts: sizes, and what exists. For the headers of CPython 3.10-3.14.
#ifndef Py_PYCONFIG_H
#define Py_PYCONFIG_H

#if !defined(_WIN64) || !defined(__GNUC__)
#error "this pyconfig.h is for mingw-w64 compiling for 64-bit Windows"
#endif

#include <io.h>
#include <stdio.h>

#define MS_WIN32
#define MS_WIN64
#define MS_WINDOWS
#define NT_THREADS
#define WITH_THREAD 1
#define PLATLIBDIR "lib"
#define PYTHONPATH ".\\DLLs;.\\lib"
#define HAVE_DECLSPEC_DLL 1
// The interpreter is python3XX.dll: its data (PyExc_*, _Py_NoneStruct ...) are imported.
#define Py_ENABLE_SHARED 1

#define SIZEOF_VOID_P 8
#define SIZEOF_SIZE_T 8
#define SIZEOF_TIME_T 8
#define SIZEOF_OFF_T 4
#define SIZEOF_FPOS_T 8
#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 4
#define SIZEOF_LONG_LONG 8
#define SIZEOF_FLOAT 4
#define SIZEOF_DOUBLE 8
#define SIZEOF_WCHAR_T 2
#define SIZEOF_PID_T 4
#define SIZEOF_HKEY 8
#define SIZEOF__BOOL 1
#define ALIGNOF_SIZE_T 8
#define ALIGNOF_LONG 4
#define ALIGNOF_MAX_ALIGN_T 16
#define HAVE_LARGEFILE_SUPPORT 1
#define HAVE_LONG_LONG 1
#define HAVE_UINTPTR_T 1
#define HAVE_SSIZE_T 1
#define HAVE_WCHAR_H 1
#define HAVE_STDDEF_H 1
#define HAVE_STDINT_H 1
#define HAVE_INTTYPES_H 1
#define HAVE_STDARG_PROTOTYPES 1
#define HAVE_ERRNO_H 1
#define HAVE_FCNTL_H 1
#define HAVE_IO_H 1
#define HAVE_PROCESS_H 1
#define HAVE_SIGNAL_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_SYS_UTIME_H 1
#define HAVE_CONIO_H 1
#define HAVE_DIRECT_H 1
#define HAVE_PROTOTYPES 1
#define HAVE_HYPOT 1
#define HAVE_COPYSIGN 1
#define HAVE_ROUND 1
#define HAVE_LOG2 1
#define HAVE_EXPM1 1
#define HAVE_DECL_ISNAN 1
#define HAVE_DECL_ISINF 1
#define HAVE_DECL_ISFINITE 1
#define HAVE_BUILTIN_ATOMIC 1
#define HAVE_STD_ATOMIC 1
#define STDC_HEADERS 1
#define USE_SOCKET 1
#define WITH_DOC_STRINGS 1
#define WITH_FREELISTS 1
#define WITH_PYMALLOC 1
#define WITH_MIMALLOC 1
#define DOUBLE_IS_LITTLE_ENDIAN_IEEE754 1
#define RETSIGTYPE void
#define COMPILER "[GCC]"

#endif
