/* python.exe for a CPython that has its library, but no program: Py_Main of the python3NN.dll that lies
   beside this file or, in a virtual environment, in the folder that pyvenv.cfg names as home. So one
   program is the interpreter and the environment's python.exe alike, and CPython itself finds its
   surroundings from there. */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <stdio.h>
#include <wchar.h>

#define LONG_PATH 1024
#define NO_PYTHON 103 /* the status of CPython's own launcher when it finds none */

typedef int (*main_function)(int, wchar_t **);

/* python3.dll is only the stable ABI: the name of the one that is wanted has a minor version. */
static HMODULE load_from(const wchar_t *folder)
{
    wchar_t path[LONG_PATH];
    WIN32_FIND_DATAW found;
    HMODULE library = NULL;

    if (swprintf(path, LONG_PATH, L"%ls\\python3*.dll", folder) < 0) return NULL;
    HANDLE search = FindFirstFileW(path, &found);
    if (search == INVALID_HANDLE_VALUE) return NULL;
    do {
        if (wcslen(found.cFileName) <= wcslen(L"python3.dll")) continue;
        if (swprintf(path, LONG_PATH, L"%ls\\%ls", folder, found.cFileName) < 0) continue;
        library = LoadLibraryExW(path, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
    } while (!library && FindNextFileW(search, &found));
    FindClose(search);
    return library;
}

/* The value of home in a pyvenv.cfg, which is UTF-8; whether there is one. */
static int read_home(const wchar_t *folder, wchar_t *home)
{
    wchar_t line[LONG_PATH];
    int got = 0;

    if (swprintf(line, LONG_PATH, L"%ls\\pyvenv.cfg", folder) < 0) return 0;
    FILE *file = _wfopen(line, L"rt, ccs=UTF-8");
    if (!file) return 0;
    while (!got && fgetws(line, LONG_PATH, file)) {
        wchar_t *value = wcschr(line, L'=');
        if (!value || wcsncmp(line, L"home", 4)) continue;
        value += 1 + wcsspn(value + 1, L" ");
        value[wcscspn(value, L"\r\n")] = 0;
        wcscpy(home, value);
        got = 1;
    }
    fclose(file);
    return got;
}

int wmain(int argc, wchar_t **argv)
{
    wchar_t folder[LONG_PATH], home[LONG_PATH];
    DWORD length = GetModuleFileNameW(NULL, folder, LONG_PATH);
    wchar_t *name = length && length < LONG_PATH ? wcsrchr(folder, L'\\') : NULL;

    if (!name) return NO_PYTHON;
    *name = 0;
    HMODULE library = load_from(folder);
    if (!library) { /* pyvenv.cfg lies beside the folder of the programs */
        wchar_t *last = wcsrchr(folder, L'\\');
        if (last) *last = 0;
        if (read_home(folder, home)) library = load_from(home);
    }
    if (!library) {
        fwprintf(stderr, L"no python3NN.dll can be loaded for %ls (error %lu)\n", argv[0], GetLastError());
        return NO_PYTHON;
    }
    /* through void *: the compiler warns of a change of a function's type, which is the purpose here */
    main_function start = (main_function)(void *)GetProcAddress(library, "Py_Main");
    if (!start) {
        fputs("the python3NN.dll has no Py_Main\n", stderr);
        return NO_PYTHON;
    }
    return start(argc, argv);
}
