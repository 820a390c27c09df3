"""README.txt of a bundle: all that whoever holds the folder needs, without a network and without a manual."""

from collections.abc import Sequence

from wheelferry.models.manifest import Manifest

README = "README.txt"

_PROBE = """\
This looks at a machine, so that a bundle can be made for it. It changes nothing there. From this folder:

    sh install.sh --probe profile.json          on Linux
    .\\install.cmd --probe profile.json          on Windows

Bring profile.json back to where bundles are made: wheelferry bundle ... --profile profile.json
"""
_OPEN = {
    "Linux": 'open the folder in the file manager, right-click into it, choose "Open in Terminal".',
    "macOS": "open Terminal, type cd and a blank, drag the folder into its window, and press Return.",
    "Windows": "open the folder in Explorer, click into the address bar, type cmd and press Enter.",
}
_INSTALL = {
    "Linux": "    sh install.sh          on Linux",
    "macOS": "    sh install.sh          on macOS, on a Mac with one of Apple's processors",
    "Windows": "    .\\install.cmd          on Windows 10 or newer, 64 bit; a double click does it too",
}
_IT = {True: "them", False: "it"}
_CHECK = {
    "Linux": "sh install.sh --check",
    "macOS": "sh install.sh --check",
    "Windows": ".\\install.cmd --check",
}
_ON_MACOS = """\
   What is for macOS was built and looked through elsewhere: nothing of it has run there. What the installer
   tries is the first proof. A file that came by a browser or AirDrop is marked by macOS; the installer writes
   what it installs anew, without the mark. Where macOS still refuses a file, remove the mark from this
   folder: xattr -dr com.apple.quarantine .
"""
_NEXT = """\
   It looks at the machine and says what it found. What cannot work is refused here, with the reason, and
   nothing has been changed then. Otherwise it asks for a folder, checks every file that it needs, installs,
   and tries the result. No administrator is needed, and no network.
"""
_TROUBLE = """\
If it does not work

  Files are damaged or missing
    Copy the bundle again. If it repeats, the stick, the disk or the reader is broken.
  There is no Python, or none that fits
    Name one with --python PROGRAM, or ask for a bundle that brings its own (made with --runtime).
  Not enough space, a path that is too long, or a folder that cannot be written
    Choose another folder with --prefix FOLDER.
  The GPU or its driver does not fit
    Ask whoever looks after the machine for the driver that is named, or accept the CPU with --without-gpu.
  The checks failed
    Nothing has been put into use. Send install.log, from the folder that was chosen, to whoever made the
    bundle.
  It was interrupted, or the power failed
    Start the same command again: it completes. What was installed before stays in use until then.
  A program does not find its packages, or finds other versions of them
    Start it with the python of the installation's folder, as in step 3, and not with another Python.
"""
_END = """\
bundle.json lists every file with its size and SHA-256. Where wheelferry is installed, `wheelferry verify .`
checks all of it. bundle.json.sig, where there is one, is its signature: the installer and verify check it
with --key FILE, a public key that you got by another way than this folder. report/report.html, where there
is one, says what was verified before the bundle was shipped.
"""


def readme(manifest: Manifest, programs: Sequence[tuple[str, str]] = ()) -> str:
    """The text; of a bundle without targets, which only looks at machines, how to do that.

    `programs` are the names of the programs that travel for the client, each with its help.
    """
    if not manifest.targets:
        return _PROBE
    systems = sorted({entry.target.system_name for entry in manifest.targets})
    parts = [
        f"{manifest.title}: everything to install {_IT[len(manifest.projects) > 1]} without a network.\n",
        *_present(manifest),
        _steps(systems, programs),
        _TROUBLE,
        _without_installer(manifest),
        _END,
    ]
    return "\n".join(parts)


def _present(manifest: Manifest) -> list[str]:
    """What must be on the machine already, and how the installer finds it; nothing for a whole bundle."""
    thin = [entry for entry in manifest.targets if entry.present]
    if not thin:
        return []
    lines = [
        "This bundle does not carry everything. The machine must have already, in exactly these versions:",
        "",
    ]
    for entry in thin:
        lines += [f"  for CPython {entry.target.python}, {entry.target.platform}"]
        lines += [f"    {one}" for one in entry.present]
        lines += [""]
    lines += [
        "The installer looks for them in the Pythons of this machine, or in the one that you name with",
        "--python PROGRAM, makes an environment of its own that sees them, and changes nothing there; or it",
        "installs into their environment with --into ENV. It refuses other versions and other builds.",
        "",
    ]
    return ["\n".join(lines)]


def _steps(systems: Sequence[str], programs: Sequence[tuple[str, str]]) -> str:
    """The way to an installation; `systems` are those of the targets by their names."""
    here = dict.fromkeys(".\\" if system == "Windows" else "./" for system in systems)
    checks = dict.fromkeys(_CHECK[system] for system in systems)
    return "\n".join(
        [
            "1. Open a terminal in this folder",
            "",
            *(f"   {system}: {_OPEN[system]}" for system in systems),
            "",
            "2. Start the installer",
            "",
            *(_INSTALL[system] for system in systems),
            "",
            _NEXT,
            *([_ON_MACOS] if "macOS" in systems else []),
            f"   To look and change nothing: {' or '.join(checks)}",
            "   To be asked nothing: add --prefix FOLDER --yes. All options: --help",
            "",
            "3. Use it, in the folder that was chosen",
            "",
            *("\n".join(_usage(one, programs)) for one in here),
        ]
    )


def _usage(here: str, programs: Sequence[tuple[str, str]]) -> list[str]:
    """What can be done in the installation's folder; `here` is how its system calls a program in a folder."""
    return [
        *(f"    {here}wheelferry {name:<17} {about}" for name, about in programs),
        f"    {here}python script.py             run a script in the installed environment",
        f"    {here}wheelferry --verify train    check it once more, with a short training run",
        f"    {here}wheelferry --rollback        go back to the environment before the last installation",
        f"    {here}wheelferry --uninstall       remove what was installed, and nothing else",
        "",
    ]


def _without_installer(manifest: Manifest) -> str:
    """How pip and uv install the bundle by themselves."""
    suites = [f"smoke/{one.recipe}" for one in manifest.projects] if manifest.further else ["smoke"]
    lines = ["Without the installer: in an environment of the right Python, one of these", ""]
    for entry in manifest.targets:
        no_deps = " --no-deps" if entry.excluded or entry.present else ""
        options = f"--no-index --find-links wheelhouse --require-hashes{no_deps}"
        lines += [
            f"  Python {entry.target.python}, {entry.target.platform}, torch {entry.target.torch}"
            f"{'' if entry.has_ops else ', without compiled ops'}:",
            f"    pip install {options} -r {entry.requirements}",
            f"    uv pip install {options} -r {entry.requirements}",
            # sync would remove what is present
            f"    uv pip {'install --no-deps -r' if entry.present else 'sync'} {entry.pylock}",
            f"    pip install --no-deps -r {entry.pylock}    (pip 26.1 and later)",
            "",
        ]
    if len(manifest.targets) > 1:
        lines += [
            "If pip or uv stops at a hash, it chose the wheel of another target: take one of the last two",
            "lines, which name the files.",
            "",
        ]
    lines += [
        "and then the checks, with its Python:",
        "",
        *(
            f"    python {suite}/harness.py --level {level} --out {suite.replace('/', '-')}-report"
            for suite in suites
            for level in ("smoke", "train")
        ),
        "",
    ]
    return "\n".join(lines)
