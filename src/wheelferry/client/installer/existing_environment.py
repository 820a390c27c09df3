"""Installing into an environment that exists: a virtual environment, or conda's. It is changed in place.

What was there is replaced; the receipt says what it was. An installation that fails puts it back.
The log, the receipt and the suite lie in the environment's folder ``wheelferry``.
"""

import json
import os

from wheelferry.client.common.errors import BadInput, NotPossibleHere
from wheelferry.client.common.files import is_writable, read_json, write_atomic, write_json
from wheelferry.client.common.processes import run
from wheelferry.client.installer.assets import asset_files
from wheelferry.client.installer.distributions import distributions
from wheelferry.client.installer.install import (
    InstallSession,
    check_files,
    copy_suite,
    fill,
    list_packages,
    make_receipt,
    prove_all,
    put_assets,
)
from wheelferry.client.installer.packages import PIP
from wheelferry.client.installer.prefix import FILES, RECEIPT, Prefix
from wheelferry.client.installer.pythons import Python
from wheelferry.client.installer.replaced_files import Replaced
from wheelferry.client.installer.wheels import Layout

_ASK = """
import json, os, platform, site, sys, sysconfig
print(json.dumps({
    "version": platform.python_version(), "implementation": platform.python_implementation(),
    "prefix": sys.prefix, "virtual": sys.prefix != sys.base_prefix,
    "folders": [sysconfig.get_path(name) for name in ("purelib", "platlib", "scripts", "data")],
    "user_site": site.getusersitepackages(),
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
        self.layout = Layout(*answer["folders"])
        self.site = self.layout.purelib
        # taken before the environment's own packages; a virtual environment has it not, conda's has
        self.user_site = None if answer["virtual"] else answer["user_site"]
        self.conda = answer["conda"]
        # a virtual environment of a managed Python is the user's own
        self.managed = answer["managed"] and not answer["virtual"]
        # where receipt and log go
        self.records = Prefix(os.path.join(self.folder, "wheelferry"))


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
        "%s is not an environment: no Python there answers" % place, hint="give its folder or its Python"
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
    if not is_writable(existing.site):
        raise NotPossibleHere(
            "%s cannot be written" % existing.site, hint="install into a folder of your own with --prefix"
        )


def install_into(request, existing, console):
    """Install the target of `request` into `existing`; returns the receipt.

    Raises what `install` raises; the environment is then what it was before.
    """
    check_existing(existing, request.target)
    if existing.conda:
        console.warn(CONDA_ADVICE)
    for line in _shadowed(request, existing):
        console.warn(line)
    with existing.records.at_work(console) as lock:
        session = InstallSession(existing.records, lock, console)
        replaced = Replaced(existing.folder, existing.records.root)
        if replaced.put_back():
            console.say("an earlier run did not come to its end; what it had replaced was put back")
        check_files(request, session)
        try:
            receipt = _replace(request, existing, session, replaced)
        except BaseException:
            session.finish()
            replaced.put_back()
            console.say("%s is what it was before" % existing.folder)
            raise
        replaced.forget()
        return receipt


def _shadowed(request, existing):
    """What this person's own packages will hide: Python looks there first, and the checks do not."""
    if existing.user_site is None:
        return
    own = distributions(existing.user_site)
    hiding = ["%s %s" % (pin.name, own[pin.name].version) for pin in request.target.pins if pin.name in own]
    if hiding:
        yield (
            "%s has %s, which the Python of this environment takes first: uninstall them there, or set "
            "PYTHONNOUSERSITE=1 whenever you start it" % (existing.user_site, ", ".join(hiding))
        )


def _replace(request, existing, session, replaced):
    """Set aside what is there of the target's packages, install, prove; returns the receipt."""
    before = {name: one.version for name, one in distributions(existing.site).items()}
    folder = existing.records.root
    names = {pin.name for pin in request.target.pins}
    with session.task("set aside what will be replaced", "set aside"):
        wheels = [request.bundle.path(name) for name in request.target.wheels]
        replaced.set_aside(names, wheels, existing.layout, asset_files(request.bundle, existing.folder))
    installer = fill(request, session, existing.python, replaced.clear, replace=True)
    packages = list_packages(request, existing.site)
    session.finish()
    assets = put_assets(request, session, existing.folder)
    earlier = read_json(os.path.join(folder, RECEIPT)) or {}
    own = _own(packages, before, earlier)
    conflicts = _conflicts(installer, existing, session)
    for line in conflicts:
        session.console.warn(line)
    copy_suite(request.bundle, folder)
    results = prove_all(request, existing.python, folder, existing.site, session)
    _write_listing(existing, own, assets)
    python = Python(existing.python, existing.version)
    receipt = make_receipt(request, session, python, installer, packages, results)
    receipt["own"] = sorted(own)
    receipt["kept"] = sorted(item["name"] for item in packages if item["name"] not in own)
    # what an earlier bundle put there is not what was there before
    replaces = {name: before[name] for name in own if name in before}
    receipt["replaced"] = earlier.get("replaced", replaces)
    receipt["conflicts"] = conflicts
    write_json(os.path.join(folder, RECEIPT), receipt)
    return receipt


def _own(packages, before, earlier):
    """The packages that are ours to remove: those that were not there before in the very version."""
    ours = set(earlier.get("own", ()))
    for item in packages:
        version = os.path.basename(item["wheel"]).split("-")[1]
        if before.get(item["name"]) != version:
            ours.add(item["name"])
    return ours


def _write_listing(existing, own, assets):
    """List the files of our packages, the assets, and what an earlier bundle put there and is there still."""
    found = distributions(existing.site)
    names = set(assets)
    for name in own & set(found):
        paths = [os.path.normpath(os.path.join(existing.site, row[0])) for row in found[name].rows()]
        names.update(os.path.relpath(path, existing.folder).replace(os.sep, "/") for path in paths)
    listing = existing.records.join(FILES)
    if os.path.isfile(listing):
        with open(listing, "rb") as stream:
            names.update(os.fsdecode(stream.read()).split("\n")[:-1])
    write_atomic(listing, "".join("%s\n" % name for name in sorted(names)))


def _conflicts(installer, existing, session):
    """What the other packages of the environment miss now."""
    if installer.kind == PIP:
        command = [*installer.command, "check"]
    else:
        command = [*installer.command, "pip", "check", "--python", existing.python]
    status, output = run(command, session.env, session.log)
    return (
        []
        if status == 0
        else [line for line in output.splitlines() if "requires" in line or "has req" in line]
    )
