"""A bare Windows to test on: Wine, and stand-ins for programs that it has not or only pretends to have.

Wine 8 has a certutil.exe and a powershell.exe that do nothing and report success, and no tar.exe. A stand-in
notes what it was called with and does what the real program would; it understands no other arguments than
those that install.cmd uses. Whether the real ones understand them can only be seen on a Windows.
"""

import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LOADER = shutil.which("wine64", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/lib/wine"]))
SERVER = shutil.which("wineserver", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/lib/wine"]))
COMPILER = "x86_64-w64-mingw32-gcc"

# Starts C:\standins\python\python.exe C:\standins\NAME.py with its own arguments; NAME is what it is called.
_STARTER = r"""
#include <stdio.h>
#include <wchar.h>
#include <windows.h>

int wmain(void)
{
    static wchar_t self[MAX_PATH], line[32768];
    wchar_t *arguments = GetCommandLineW(), *name;
    int quoted = *arguments == L'"';
    DWORD status = 1;
    STARTUPINFOW startup = { sizeof startup };
    PROCESS_INFORMATION process;

    arguments += quoted;
    while (*arguments && *arguments != (quoted ? L'"' : L' ')) arguments++;
    arguments += quoted && *arguments;
    GetModuleFileNameW(NULL, self, MAX_PATH);
    name = wcsrchr(self, L'\\') + 1;
    *wcsrchr(name, L'.') = 0;
    swprintf(line, 32768, L"\"C:\\standins\\python\\python.exe\" -I C:\\standins\\%ls.py%ls", name,
             arguments);
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process)) return 99;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &status);
    return status;
}
"""

_NOTE = r"""
import hashlib, os, sys, zipfile
with open(r"C:\standins\calls.txt", "a", encoding="utf-8") as stream:
    stream.write("%s\n" % " ".join(sys.argv)[len(r"C:\standins") + 1 :])
"""
_SCRIPTS = {
    "certutil": r"""
option, path, kind = sys.argv[1:]
assert (option, kind) == ("-hashfile", "SHA256")
print("SHA256-Hash von %s:" % ascii(path))
print(hashlib.sha256(open(path, "rb").read()).hexdigest())
print("CertUtil: -hashfile-Befehl wurde erfolgreich ausgef\xfchrt.")
""",
    "tar": r"""
option, archive, into, folder = sys.argv[1:]
assert (option, into) == ("-xf", "-C")
zipfile.ZipFile(archive).extractall(folder)
""",
    "powershell": r"""
assert sys.argv[1:5] == ["-NoProfile", "-ExecutionPolicy", "Bypass", "-Command"]
text = " ".join(sys.argv[5:])
if text == "(Get-FileHash -Algorithm SHA256 -LiteralPath $env:ARCHIVE).Hash.ToLower()":
    print(hashlib.sha256(open(os.environ["ARCHIVE"], "rb").read()).hexdigest())
else:
    assert text == (
        "$ProgressPreference = 'SilentlyContinue'; "
        "Expand-Archive -Force -LiteralPath $env:ARCHIVE -DestinationPath $env:SCRATCH"
    ), text
    zipfile.ZipFile(os.environ["ARCHIVE"]).extractall(os.environ["SCRATCH"])
""",
}

# uv wants it; Wine 8 has none.
_RANDOM_NUMBERS = """
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return RtlGenRandom(data, size); }
"""


class Windows:
    """One Wine prefix below `folder`, with an unpacked Python for the stand-ins that is in nobody's PATH."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.prefix, self._made = folder / "wine", folder / "made"
        self.drive = self.prefix / "drive_c"
        self._made.mkdir(parents=True)
        self.run(["wineboot", "-i"])
        self.run(["reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"])
        self.standins = self.drive / "standins"
        with zipfile.ZipFile(python) as archive:
            archive.extractall(self.standins / "python")
        for name, script in _SCRIPTS.items():
            (self.standins / f"{name}.py").write_text(_NOTE + script, "utf-8")
        self._starter = self._compile("starter.exe", _STARTER, "-municode")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._made),
            "LC_ALL": "C.UTF-8",
            "WINEPREFIX": str(self.prefix),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            # no debugger, which would start for each program that ends badly; our stand-ins, not Wine's own
            "WINEDLLOVERRIDES": (
                "mscoree,mshtml,winemenubuilder.exe,winedbg.exe=;certutil.exe,powershell.exe=n,b"
            ),
        }

    def _compile(self, name: str, source: str, *options: str) -> Path:
        text = self._made / f"{name}.c"
        text.write_text(source, "utf-8")
        command = [COMPILER, "-O1", "-o", str(self._made / name), str(text), *options]
        subprocess.run(command, check=True)
        return self._made / name

    def has(self, *names: str) -> None:
        """Let Windows have these of the stand-ins, and no others; forget what they were called with."""
        for name in _SCRIPTS:
            program = self.system / f"{name}.exe"
            program.unlink(missing_ok=True)
            if name in names:
                shutil.copyfile(self._starter, program)
        (self.standins / "calls.txt").unlink(missing_ok=True)

    @property
    def system(self) -> Path:
        return self.drive / "windows" / "system32"

    @property
    def calls(self) -> list[str]:
        """What the stand-ins were called with: their names and arguments."""
        notes = self.standins / "calls.txt"
        return notes.read_text("utf-8").splitlines() if notes.exists() else []

    def bring_random_numbers(self) -> None:
        """Put the DLL there that uv starts with."""
        made = self._compile("bcryptprimitives.dll", _RANDOM_NUMBERS, "-shared", "-ladvapi32")
        shutil.copyfile(made, self.system / made.name)

    def start(
        self, command: Sequence[str | Path], cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        assert LOADER is not None
        return subprocess.Popen(
            [LOADER, *map(str, command)],
            stdin=subprocess.DEVNULL,
            # CPython does not start on other streams than pipes there
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**self.environment, **(environ or {})},
            cwd=cwd or self.drive if self.drive.is_dir() else None,
            start_new_session=True,
        )

    def run(
        self,
        command: Sequence[str | Path],
        status: int = 0,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program of Windows; returns what it printed. Its pipes carry the Windows code page."""
        output, _ = (process := self.start(command, cwd, environ)).communicate(timeout=180)
        text = output.decode("cp1252", "replace").replace("\r\n", "\n")
        assert process.returncode == status, f"exit {process.returncode}\n{text}"
        return text

    def batch(
        self,
        folder: Path,
        name: str,
        *arguments: str,
        status: int = 0,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        """Run a batch file in its own folder, as somebody does who changed to it."""
        return self.run(["cmd", "/c", name, *arguments], status, folder, environ)

    def end(self) -> None:
        """End whatever still runs there."""
        assert SERVER is not None
        subprocess.run([SERVER, "-k"], env=self.environment, check=False)


def windows_path(path: Path) -> str:
    """How Wine calls a file of this machine."""
    return "Z:" + str(path).replace("/", "\\")
