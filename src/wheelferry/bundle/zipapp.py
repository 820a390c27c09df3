"""What travels to run on clients, the installer and what applies and joins; one version, the same bytes."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

PYZ = "install.pyz"
SCRIPTS = ("install.sh", "install.cmd")
_PACKAGE = Path(__file__).parents[1]
_CLIENT = _PACKAGE / "client"
# The packages of the client that each program needs; apply.pyz and join.pyz lie on every medium.
_INSTALLER = ("common", "probe", "preflight", "smoke", "apps", "transfer", "data", "installer")
_TRANSFER = ("common", "transfer")
_PROBE = ("common", "probe")
_MAIN = "from wheelferry.client.installer.main import main\n\nraise SystemExit(main())\n"


def write_installer(folder: Path) -> None:
    """Write the installer's files into the bundle at `folder`."""
    write_pyz(folder / PYZ)
    for name in SCRIPTS:
        _write_script(folder / name, (_CLIENT / "installer" / name).read_text("utf-8"))


def write_transfer(folder: Path, verb: str, document: str, remedy: str) -> tuple[str, ...]:
    """Write what runs `verb` (apply, join) on a client to `folder`; returns the names of the files.

    `document` is the file beside it that has their hashes, `remedy` what to do when one of them is damaged.
    """
    main = f"from wheelferry.client.transfer.main import main\n\nraise SystemExit(main({verb!r}))\n"
    (folder / f"{verb}.pyz").write_bytes(_application(main, _TRANSFER))
    names = [f"{verb}.pyz"]
    for ending in ("sh", "cmd"):
        text = (_CLIENT / "transfer" / f"transfer.{ending}").read_text("utf-8")
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


def write_pyz(path: Path) -> None:
    """Write the installer as a zip application."""
    path.write_bytes(_application(_MAIN, _INSTALLER))


def probe_program() -> bytes:
    """The zip application that writes a machine's profile; any Python from 3.7 on runs it."""
    return _application("from wheelferry.client.probe.main import main\n\nraise SystemExit(main())\n", _PROBE)


def _application(main: str, packages: Sequence[str]) -> bytes:
    """A zip application that runs `main` with these packages of the client.

    Stored, not compressed, so that every zlib gives these bytes.
    """
    sources = {"__main__.py": main}
    inits = [_PACKAGE / "__init__.py", _CLIENT / "__init__.py"]
    for source in inits + [path for name in packages for path in sorted((_CLIENT / name).rglob("*.py"))]:
        sources[source.relative_to(_PACKAGE.parent).as_posix()] = source.read_text("utf-8")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sources.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3  # Unix, whoever makes it: the same bytes on Windows
            archive.writestr(entry, text)
    return data.getvalue()
