"""portable.c: a module that uses what only a new libstdc++ or glibc has asks for the old ones, and works."""

import ctypes
import math
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from wheelferry.binaries import elf
from wheelferry.toolchains import linux

PORTABLE = Path(linux.__file__).with_name("portable.c")
# Unoptimised, so that the compiler calls what it would otherwise write in place.
CODE = """
#include <mutex>
#include <sstream>
static std::once_flag once;
extern "C" int work(int number) {
    int first = 0;
    std::call_once(once, [&] { first = 100; });
    std::ostringstream out;
    out << number;
    std::stringstream both;
    both << out.str();
    int back = 0;
    both >> back;
    if (both.str() != out.str()) return -1;
    if (both.str() != (std::ostringstream() << number).str()) return -2;  // in C++20 a temporary's own str()
    if (out.str() != std::move(both).str() || out.str() != std::istringstream(out.str()).str()) return -3;
    both.str(out.str());
    return back + first;
}
"""

# What each function of libm has a newer version of, at values that nobody knows while compiling.
MATH = """
#include <cmath>
extern "C" double sum(double x) {
    float f = float(x);
    return std::exp(x) + std::exp2(x) + std::log(x) + std::log2(x) + std::pow(x, 1.5) + std::hypot(x, 3.0)
        + std::hypot(f, 3.0f) + std::fmod(x, 0.7) + std::fmod(f, 0.7f);
}
"""

# What moved to libc with glibc 2.34: libraries that are opened, threads with what they own, semaphores.
MOVED = """
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
static pthread_key_t key;
static sem_t ready;
static void *own(void *value) {
    pthread_setspecific(key, value);
    sem_post(&ready);
    return pthread_getspecific(key);
}
extern "C" const char *failure() { return dlopen("libnowhere.so.9", RTLD_NOW) ? "" : dlerror(); }
extern "C" double cosine(double x) {
    void *libm = dlopen("libm.so.6", RTLD_NOW);
    if (!libm) return -2;
    auto newest = reinterpret_cast<double (*)(double)>(dlsym(libm, "cos"));
    auto first = reinterpret_cast<double (*)(double)>(dlvsym(libm, "cos", FIRST));
    Dl_info where;
    if (!newest || !first || newest(x) != first(x)) return -3;
    if (!dladdr(reinterpret_cast<void *>(newest), &where)) return -4;
    double found = newest(x);
    return dlclose(libm) ? -5 : found;
}
extern "C" int thread() {
    pthread_t other;
    void *told = nullptr;
    int mark = 0;
    if (pthread_key_create(&key, nullptr) || sem_init(&ready, 0, 0)) return -1;
    if (pthread_create(&other, nullptr, own, &mark) || sem_wait(&ready)) return -2;
    pthread_join(other, &told);
    return told == &mark && !pthread_getspecific(key) && !pthread_key_delete(key) && !sem_destroy(&ready);
}
"""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
]


@pytest.mark.parametrize(
    ("abi", "standard"),
    [(0, "c++14"), (1, "c++14"), (1, "c++20")],
    ids=["old string ABI", "new string ABI", "C++20"],
)
def test_a_module_asks_for_nothing_newer_than_manylinux_2_28(abi: int, standard: str, tmp_path: Path) -> None:
    source, module, obj = tmp_path / "module.cpp", tmp_path / "module.so", tmp_path / "portable.o"
    source.write_text(CODE)
    subprocess.run(
        ["g++", "-x", "c", "-c", "-fPIC", "-ffunction-sections", PORTABLE, "-o", obj], check=True, timeout=60
    )
    options = ["-O0", f"-std={standard}", "-fPIC", "-shared", f"-D_GLIBCXX_USE_CXX11_ABI={abi}"]
    subprocess.run(["g++", *options, source, obj, "-Wl,--gc-sections", "-o", module], check=True, timeout=60)
    with module.open("rb") as stream:
        versions = elf.read_elf(stream).symbol_versions
    glibc = elf.policy_for(versions, "x86_64").glibc_minor
    assert glibc is not None
    assert glibc <= 28
    work = ctypes.CDLL(str(module)).work
    assert (work(42), work(7)) == (142, 7)


@pytest.mark.parametrize("optimised", ["-O0", "-O3"])
def test_functions_of_libm_are_asked_for_by_their_first_versions(optimised: str, tmp_path: Path) -> None:
    source, obj = tmp_path / "module.cpp", tmp_path / "portable.o"
    source.write_text(MATH)
    compiled = ["g++", "-x", "c", "-c", "-fPIC", "-O2", "-ffunction-sections", str(PORTABLE), "-o", str(obj)]
    subprocess.run(compiled, check=True, timeout=60)
    modules = []
    for name, objects in (("plain.so", []), ("portable.so", [obj])):
        command = ["g++", optimised, "-fPIC", "-shared", *map(str, [source, *objects]), "-Wl,--gc-sections"]
        subprocess.run([*command, "-o", str(tmp_path / name)], check=True, timeout=60)
        modules.append(ctypes.CDLL(str(tmp_path / name)).sum)
    for sum_of in modules:
        sum_of.restype, sum_of.argtypes = ctypes.c_double, [ctypes.c_double]
    values = [0.1 * number for number in range(1, 50)]
    assert [modules[1](x) for x in values] == [modules[0](x) for x in values]
    with (tmp_path / "portable.so").open("rb") as stream:
        versions = elf.read_elf(stream).symbol_versions
    assert {"exp", "pow", "hypot"} <= {name for names in versions.values() for name in names}
    assert elf.policy_for(versions, "x86_64").glibc_minor == 5


def test_functions_that_moved_to_libc_are_asked_for_by_their_first_versions(tmp_path: Path) -> None:
    source, obj, module = tmp_path / "module.cpp", tmp_path / "portable.o", tmp_path / "module.so"
    first = {"x86_64": "GLIBC_2.2.5", "aarch64": "GLIBC_2.17"}[platform.machine()]
    source.write_text(MOVED)
    compiled = ["g++", "-x", "c", "-c", "-fPIC", "-O2", "-ffunction-sections", str(PORTABLE), "-o", str(obj)]
    subprocess.run(compiled, check=True, timeout=60)
    command = ["g++", f'-DFIRST="{first}"', "-fPIC", "-shared", str(source), str(obj), "-Wl,--gc-sections"]
    subprocess.run([*command, "-ldl", "-lpthread", "-o", str(module)], check=True, timeout=60)
    with module.open("rb") as stream:
        versions = elf.read_elf(stream).symbol_versions
    assert {"dlopen", "dlsym", "dlvsym", "dlclose", "dlerror", "dladdr", "pthread_create"} <= set(
        versions[first]
    )
    assert elf.policy_for(versions, platform.machine()).glibc_minor in (5, 17)
    library = ctypes.CDLL(str(module))
    library.failure.restype, library.cosine.restype = ctypes.c_char_p, ctypes.c_double
    library.cosine.argtypes = [ctypes.c_double]
    assert b"libnowhere.so.9: cannot open shared object file" in library.failure()
    assert library.cosine(0.5) == math.cos(0.5)
    assert library.thread() == 1
