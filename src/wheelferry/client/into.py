"""Installing into an environment that exists: a virtual environment, or conda's. It is changed in place.

What was there in another version is replaced and cannot be brought back; the receipt says what it was.
The log, the receipt and the suite lie in the environment's folder ``wheelferry``.
"""

import json
import os
import shutil

from wheelferry.client import prefix as places
from wheelferry.client.distributions import distributions
from wheelferry.client.errors import BadInput, NotPossibleHere
from wheelferry.client.install import Work, check_files, fill, list_packages, make_receipt, put_assets
from wheelferry.client.packages import PIP
from wheelferry.client.processes import run
from wheelferry.client.pythons import Python
from wheelferry.client.suite import prove

_ASK = """
import json, os, platform, sys, sysconfig
print(json.dumps({
    "version": platform.python_version(), "implementation": platform.python_implementation(),
    "prefix": sys.prefix, "virtual": sys.prefix != sys.base_prefix, "site": sysconfig.get_path("purelib"),
    "conda": os.path.isdir(os.path.join(sys.prefix, "conda-meta")),
    "managed": os.path.isfile(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")),
}))
"""

CONDA_ADVICE = (
    "conda does not know what is installed here: a later `conda install` may overwrite it. Do that first, "
    "keep this environment for this purpose, and do not use conda's base."
)


class Existing(object):
    """An existing environment: its Python, its folder, its packages' folder, and what kind it is."""

    def __init__(self, program, answer):
        self.python = program
        self.version = answer["version"]
        self.implementation = answer["implementation"]
        self.folder = answer["prefix"]
        self.site = answer["site"]
        self.conda = answer["conda"]
        # a virtual environment of a managed Python is the user's own
        self.managed = answer["managed"] and not answer["virtual"]

    @property
    def records(self):
        """The folder with the receipt."""
        return places.Prefix(os.path.join(self.folder, "wheelferry"))


def open_existing(place, console):
    """The environment at `place`, its folder or its Python; BadInput when there is none."""
    names = ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe")
    candidates = (
        [os.path.join(place, *name.split("/")) for name in names] if os.path.isdir(place) else [place]
    )
    for program in candidates:
        if os.path.isfile(program):
            # with the caller's own HOME: nothing is written, and no folder is there yet
            kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
            status, output = run([os.path.abspath(program), "-I", "-c", _ASK], kept, console.log)
            if status == 0:
                return Existing(os.path.abspath(program), json.loads(output.splitlines()[-1]))
    raise BadInput(
        "%s is no environment: no Python there answers" % place, hint="give its folder or its Python"
    )


def check_existing(existing, target):
    """Raise NotPossibleHere, with the reason, unless `target` can be installed into `existing`."""
    if existing.implementation != "CPython" or not existing.version.startswith(target.python + "."):
        raise NotPossibleHere(
            "%s has %s %s, the target is for CPython %s"
            % (existing.folder, existing.implementation, existing.version, target.python),
            hint="choose another --target, or make an environment of Python %s" % target.python,
        )
    if existing.managed:
        raise NotPossibleHere(
            "%s belongs to the system, which marks it as externally managed" % existing.folder,
            hint="install into a folder of its own with --prefix, or make a virtual environment",
        )
    if not os.access(existing.site, os.W_OK):
        raise NotPossibleHere(
            "%s cannot be written" % existing.site, hint="install into a folder of your own with --prefix"
        )


def install_into(wish, existing, console):
    """Install the wish's target into `existing`; returns the receipt.

    Raises what `install` raises; after InstallFailed or SmokeFailed the environment is as far as it came.
    """
    check_existing(existing, wish.target)
    if existing.conda:
        console.warn(CONDA_ADVICE)
    with existing.records.at_work(console) as lock:
        work = Work(existing.records, lock, console)
        check_files(wish, work)
        before = {name: one.version for name, one in distributions(existing.site).items()}
        folder = existing.records.root
        places.remove_tree(os.path.join(folder, "smoke"))
        installer = fill(wish, work, existing.python, replace=True)
        packages = list_packages(wish, existing.site)
        work.finish()
        assets = put_assets(wish, work, existing.folder)
        shutil.copytree(wish.bundle.path("smoke"), os.path.join(folder, "smoke"))
        places.write_atomic(
            os.path.join(folder, places.FILES),
            "".join("%s\n" % name for name in _files(existing, packages, assets)),
        )
        conflicts = _conflicts(installer, existing, work)
        for line in conflicts:
            console.warn(line)
        results = prove(existing.python, folder, wish.levels, work)
        python = Python(existing.python, existing.version)
        receipt = make_receipt(wish, work, python, installer, packages, results)
        now = {item["name"]: item["version"] for item in packages}
        receipt["replaced"] = {n: v for n, v in before.items() if n in now and now[n] != v}
        receipt["conflicts"] = conflicts
        places.write_json(os.path.join(folder, places.RECEIPT), receipt)
        return receipt


def _files(existing, packages, assets):
    """The files of the installed packages, and `assets`, relative to the environment's folder."""
    found = distributions(existing.site)
    paths = [
        os.path.normpath(os.path.join(existing.site, row[0]))
        for item in packages
        for row in found[item["name"]].rows()
    ]
    names = [os.path.relpath(path, existing.folder).replace(os.sep, "/") for path in paths]
    return sorted({*names, *assets})


def _conflicts(installer, existing, work):
    """What the other packages of the environment miss now."""
    if installer.kind == PIP:
        command = [*installer.command, "--python", existing.python, "check"]
    else:
        command = [*installer.command, "pip", "check", "--python", existing.python]
    status, output = run(command, work.env, work.log)
    return (
        []
        if status == 0
        else [line for line in output.splitlines() if "requires" in line or "has req" in line]
    )
