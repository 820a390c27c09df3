/* Linked, hidden, into every module built on Linux, so that code compiled by a new GCC asks an old
 * system for nothing it does not have. Each symbol is newer than manylinux_2_28 and is expressed here
 * by older ones. What a module does not use, the linker drops (-Wl,--gc-sections).
 *
 * The same idea as libstdc++_nonshared.a of Red Hat's developer toolsets, on which manylinux is built.
 */

#define HIDDEN __attribute__((visibility("hidden")))

/* GLIBC_2.32. "Is there only one thread?", read by libstdc++'s reference counts: no, never assume it. */
HIDDEN char __libc_single_threaded = 0;

/* GLIBCXX_3.4.29, by CXXABI_1.3.8's entry point for the same exception. */
extern void __cxa_throw_bad_array_new_length(void);
HIDDEN void _ZSt28__throw_bad_array_new_lengthv(void) { __cxa_throw_bad_array_new_length(); }

/* CXXABI_1.3.13: std::exception_ptr's reference count, by its copy constructor and destructor
 * (CXXABI_1.3.3). An exception_ptr is one pointer; a copy that is never destroyed is one more reference. */
extern void _ZNSt15__exception_ptr13exception_ptrC1ERKS0_(void **copy, void *const *original);
extern void _ZNSt15__exception_ptr13exception_ptrD1Ev(void **self);

HIDDEN void _ZNSt15__exception_ptr13exception_ptr9_M_addrefEv(void **self) {
    void *copy;
    _ZNSt15__exception_ptr13exception_ptrC1ERKS0_(&copy, self);
}

HIDDEN void _ZNSt15__exception_ptr13exception_ptr10_M_releaseEv(void **self) {
    _ZNSt15__exception_ptr13exception_ptrD1Ev(self);
    *self = 0;
}

/* What a function was before, under its name of today: a jump, because neither the arguments nor what is
 * returned have to be known for one (what returns a std::string cannot be said in C on every processor). */
#if defined __x86_64__
#define FIRST "GLIBC_2.2.5"
#define JUMP "jmp "
#define PLT "@PLT"
#elif defined __aarch64__
#define FIRST "GLIBC_2.17"
#define JUMP "b "
#define PLT ""
#endif

#ifdef JUMP
#define SAME(name, older)                                                                       \
    __asm__(".pushsection .text." #name ",\"ax\",@progbits\n"                                    \
            ".globl " #name "\n.hidden " #name "\n.type " #name ",@function\n" #name ":\n"      \
            JUMP #older PLT "\n.size " #name ", . - " #name "\n.popsection");
#define BY_VERSION(name, version)                                  \
    __asm__(".symver older_" #name ", " #name "@" version);       \
    SAME(name, older_##name)
#define BY_FIRST(name) BY_VERSION(name, FIRST)

/* GLIBC_2.34, where libdl, libpthread and librt joined libc: the same functions under the versions that they had
 * before. An older glibc has them in those libraries, and finds them there: they are loaded with CPython, which
 * has threads and imports modules by dlopen, and all three are asked for by torch.
 * Called by std::call_once, by CUDA's static runtime, by CUTLASS. */
BY_FIRST(dlopen)
BY_FIRST(dlsym)
BY_FIRST(dlvsym)
BY_FIRST(dlclose)
BY_FIRST(dlerror)
BY_FIRST(dladdr)
#ifdef __x86_64__
BY_VERSION(dladdr1, "GLIBC_2.3.3")
BY_VERSION(dlinfo, "GLIBC_2.3.3")
BY_VERSION(dlmopen, "GLIBC_2.3.4")
#else
BY_FIRST(dladdr1)
BY_FIRST(dlinfo)
BY_FIRST(dlmopen)
#endif
BY_FIRST(pthread_once)
BY_FIRST(pthread_create)
BY_FIRST(pthread_detach)
BY_FIRST(pthread_join)
BY_FIRST(pthread_kill)
BY_FIRST(pthread_key_create)
BY_FIRST(pthread_key_delete)
BY_FIRST(pthread_getspecific)
BY_FIRST(pthread_setspecific)
BY_FIRST(pthread_mutex_trylock)
BY_FIRST(pthread_mutexattr_init)
BY_FIRST(pthread_mutexattr_destroy)
BY_FIRST(pthread_mutexattr_settype)
BY_FIRST(pthread_mutexattr_setpshared)
BY_FIRST(pthread_condattr_setpshared)
BY_FIRST(pthread_rwlock_init)
BY_FIRST(pthread_rwlock_destroy)
BY_FIRST(pthread_rwlock_rdlock)
BY_FIRST(pthread_rwlock_wrlock)
BY_FIRST(pthread_rwlock_unlock)
BY_FIRST(pthread_rwlock_tryrdlock)
BY_FIRST(pthread_rwlock_trywrlock)
BY_FIRST(pthread_rwlock_timedrdlock)
BY_FIRST(pthread_rwlock_timedwrlock)
BY_FIRST(pthread_rwlockattr_init)
BY_FIRST(pthread_rwlockattr_destroy)
BY_FIRST(pthread_rwlockattr_setpshared)
BY_FIRST(pthread_spin_init)
BY_FIRST(pthread_spin_destroy)
BY_FIRST(pthread_spin_lock)
BY_FIRST(pthread_spin_trylock)
BY_FIRST(pthread_spin_unlock)
BY_FIRST(sem_init)
BY_FIRST(sem_destroy)
BY_FIRST(sem_post)
BY_FIRST(sem_wait)
BY_FIRST(sem_trywait)
BY_FIRST(sem_timedwait)
BY_FIRST(shm_open)
BY_FIRST(shm_unlink)
#endif

/* GLIBC_2.29, 2.35 and 2.38: the same functions without the wrapper that set errno and asked for a handler of
 * errors. By the versions that libm began with on the processor; values are the same. */
#ifdef FIRST
#define MATH(type, name, parameters, arguments)               \
    extern type older_##name parameters;                       \
    __asm__(".symver older_" #name ", " #name "@" FIRST);     \
    HIDDEN type name parameters { return older_##name arguments; }

MATH(double, exp, (double x), (x))
MATH(double, exp2, (double x), (x))
MATH(double, log, (double x), (x))
MATH(double, log2, (double x), (x))
MATH(double, pow, (double x, double y), (x, y))
MATH(double, hypot, (double x, double y), (x, y))
MATH(float, hypotf, (float x, float y), (x, y))
MATH(double, fmod, (double x, double y), (x, y))
MATH(float, fmodf, (float x, float y), (x, y))
#endif

/* GLIBCXX_3.4.26: string streams made without arguments, in both ABIs of std::string, by the
 * constructors that take an open mode (out is 16, in is 8). */
#define STREAM(without, with, mode)            \
    extern void with(void *self, int how);     \
    HIDDEN void without(void *self) { with(self, mode); }

STREAM(_ZNSt19basic_ostringstreamIcSt11char_traitsIcESaIcEEC1Ev,
       _ZNSt19basic_ostringstreamIcSt11char_traitsIcESaIcEEC1ESt13_Ios_Openmode, 16)
STREAM(_ZNSt18basic_stringstreamIcSt11char_traitsIcESaIcEEC1Ev,
       _ZNSt18basic_stringstreamIcSt11char_traitsIcESaIcEEC1ESt13_Ios_Openmode, 16 | 8)
STREAM(_ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEEC1Ev,
       _ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEEC1ESt13_Ios_Openmode, 16)
STREAM(_ZNSt7__cxx1118basic_stringstreamIcSt11char_traitsIcESaIcEEC1Ev,
       _ZNSt7__cxx1118basic_stringstreamIcSt11char_traitsIcESaIcEEC1ESt13_Ios_Openmode, 16 | 8)

/* GLIBCXX_3.4.29, in C++20 alone: the text of a stream, and a stream that is given a temporary text, by the
 * functions that there were before for all. Those of today move the text of a temporary; these copy it. */
#ifdef JUMP
#define TEXT(stream)                                                              \
    SAME(_ZNKRSt7__cxx11##stream##IcSt11char_traitsIcESaIcEE3strEv,                            \
         _ZNKSt7__cxx11##stream##IcSt11char_traitsIcESaIcEE3strEv)                             \
    SAME(_ZNOSt7__cxx11##stream##IcSt11char_traitsIcESaIcEE3strEv,                             \
         _ZNKSt7__cxx11##stream##IcSt11char_traitsIcESaIcEE3strEv)                             \
    SAME(_ZNSt7__cxx11##stream##IcSt11char_traitsIcESaIcEE3strEONS_12basic_stringIcS2_S3_EE,   \
         _ZNSt7__cxx11##stream##IcSt11char_traitsIcESaIcEE3strERKNS_12basic_stringIcS2_S3_EE)  \
    SAME(_ZNSt7__cxx11##stream##IcSt11char_traitsIcESaIcEEC1EONS_12basic_stringIcS2_S3_EESt13_Ios_Openmode, \
         _ZNSt7__cxx11##stream##IcSt11char_traitsIcESaIcEEC1ERKNS_12basic_stringIcS2_S3_EESt13_Ios_Openmode)

TEXT(15basic_stringbuf)
TEXT(19basic_ostringstream)
TEXT(19basic_istringstream)
TEXT(18basic_stringstream)
#endif
