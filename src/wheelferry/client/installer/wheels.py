"""Where the files of a wheel land in an environment."""

import configparser
import os
import zipfile
from email.parser import HeaderParser


class Layout(object):
    """An environment's folders: for packages (purelib, platlib), for scripts, and its root for data.

    Links are followed: where Python has lib64, that is a link to lib in an environment, and one file would
    else have two paths.
    """

    def __init__(self, purelib, platlib, scripts, data):
        self.purelib = os.path.realpath(purelib)
        self.platlib = os.path.realpath(platlib)
        self.scripts = os.path.realpath(scripts)
        self.data = os.path.realpath(data)


def files_of(wheel, layout):
    """The absolute paths of all files that the wheel at `wheel` puts into an environment.

    Headers are left out: installers do not agree where they go.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        site = _site(archive, names, layout)
        found = [_place(name, site, layout) for name in names]
        return [path for path in found if path] + _starters(archive, names, layout)


def dist_info(wheel, layout):
    """The folder of the wheel's metadata in the environment; installers write more files into it."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        return os.path.join(_site(archive, names, layout), _metadata(names, "WHEEL").partition("/")[0])


def _site(archive, names, layout):
    """The folder of packages that the wheel says it is for."""
    headers = HeaderParser().parsestr(archive.read(_metadata(names, "WHEEL")).decode("utf-8", "replace"))
    return layout.purelib if headers.get("Root-Is-Purelib", "").lower() == "true" else layout.platlib


def _metadata(names, name):
    """The member `name` of the .dist-info folder; empty when there is none."""
    found = [n for n in names if n.count("/") == 1 and n.endswith(".dist-info/" + name)]
    return found[0] if found else ""


def _place(name, site, layout):
    """Where one member lands; None for a header."""
    folder, _, rest = name.partition("/")
    if not folder.endswith(".data"):
        return os.path.join(site, *name.split("/"))
    scheme, _, rest = rest.partition("/")
    base = getattr(layout, scheme, None)
    return os.path.join(base, *rest.split("/")) if base else None


def _starters(archive, names, layout):
    """The programs that installers make of the wheel's entry points."""
    member = _metadata(names, "entry_points.txt")
    if not member:
        return []
    parser = configparser.ConfigParser(delimiters=("=",), strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their capitals
    parser.read_string(archive.read(member).decode("utf-8", "replace"))
    sections = [section for section in ("console_scripts", "gui_scripts") if parser.has_section(section)]
    ending = ".exe" if os.name == "nt" else ""
    return [os.path.join(layout.scripts, name + ending) for s in sections for name in parser.options(s)]
