"""What travels to run on clients, the installer and what applies and joins; one version, the same bytes."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

PYZ = "install.pyz"
SCRIPTS = ("install.sh", "install.cmd")
_PACKAGE = Path(__file__).parents[1]
_CLIENT = _PACKAGE / "client"
# What apply.pyz and join.pyz are made of: little, because it lies on every medium.
_CARRYING = (
    *("transfer/carried", "transfer/carrying", "transfer/delta", "transfer/volumes", "installer/prefix"),
    *(
        "common/bundle",
        "common/command",
        "common/console",
        "common/documents",
        "common/errors",
        "common/paths",
    ),
)
_MAIN = "from wheelferry.client.installer.main import main\n\nraise SystemExit(main())\n"


def write_installer(folder: Path) -> None:
    """Write the installer's files into the bundle at `folder`."""
    write_pyz(folder / PYZ)
    for name in SCRIPTS:
        _write_script(folder / name, (_CLIENT / "installer" / name).read_text("utf-8"))


def write_carrying(folder: Path, verb: str, document: str, remedy: str) -> tuple[str, ...]:
    """Write what runs `verb` (apply, join) on a client to `folder`; returns the names of the files.

    `document` is the file beside it that has their hashes, `remedy` what to do when one of them is damaged.
    """
    main = f"from wheelferry.client.transfer.carrying import main\n\nraise SystemExit(main({verb!r}))\n"
    write_pyz(folder / f"{verb}.pyz", main, _CARRYING)
    names = [f"{verb}.pyz"]
    for ending in ("sh", "cmd"):
        text = (_CLIENT / "transfer" / f"carrying.{ending}").read_text("utf-8")
        for mark, value in (("@VERB@", verb), ("@DOCUMENT@", document), ("@REMEDY@", remedy)):
            text = text.replace(mark, value)
        names.append(f"{verb}.{ending}")
        _write_script(folder / names[-1], text)
    return tuple(names)


def _write_script(path: Path, text: str) -> None:
    path.write_text(text, "utf-8", newline="\r\n" if path.suffix == ".cmd" else "\n")
    if path.suffix == ".sh":
        # FAT carries no such bit, so README.txt says `sh install.sh`
        path.chmod(0o755)


def write_pyz(path: Path, main: str = _MAIN, modules: Iterable[str] | None = None) -> None:
    """Write the client, or only `modules` of it, as a zip application that runs `main`.

    Stored, not compressed, so that every zlib gives these bytes.
    """
    every = [source.relative_to(_CLIENT).with_suffix("").as_posix() for source in _CLIENT.rglob("*.py")]
    packages = [name for name in every if name.endswith("__init__")]
    sources = {"__main__.py": main, "wheelferry/__init__.py": (_PACKAGE / "__init__.py").read_text("utf-8")}
    for name in sorted({*packages, *(every if modules is None else modules)}):
        sources[f"wheelferry/client/{name}.py"] = (_CLIENT / f"{name}.py").read_text("utf-8")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sources.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3  # Unix, whoever makes it: the same bytes on Windows
            archive.writestr(entry, text)
