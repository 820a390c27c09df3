"""The installer as it travels: install.pyz, install.sh and install.cmd; one version, the same bytes."""

import zipfile
from pathlib import Path

PYZ = "install.pyz"
SCRIPTS = ("install.sh", "install.cmd")
_PACKAGE = Path(__file__).parent
_CLIENT = _PACKAGE / "client"
_MAIN = "from wheelferry.client.main import main\n\nraise SystemExit(main())\n"


def write_installer(folder: Path) -> None:
    """Write the installer's files into the bundle at `folder`."""
    write_pyz(folder / PYZ)
    for name in SCRIPTS:
        text = (_CLIENT / name).read_text("utf-8")
        ending = "\r\n" if name.endswith(".cmd") else "\n"
        (folder / name).write_text(text, "utf-8", newline=ending)
    # FAT carries no such bit, so README.txt says `sh install.sh`
    (folder / "install.sh").chmod(0o755)


def write_pyz(path: Path) -> None:
    """Write the client as a zip application: stored, not compressed, so that every zlib gives these bytes."""
    sources = {"__main__.py": _MAIN, "wheelferry/__init__.py": (_PACKAGE / "__init__.py").read_text("utf-8")}
    for source in sorted(_CLIENT.glob("*.py")):
        sources[f"wheelferry/client/{source.name}"] = source.read_text("utf-8")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sources.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3  # Unix, whoever makes it: the same bytes on Windows
            archive.writestr(entry, text)
