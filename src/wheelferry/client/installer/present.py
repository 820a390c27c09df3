"""What a thin bundle does not carry: looked for on this machine, and made visible to a new environment."""

import json
import os
from typing import Any  # noqa: F401 -- in comments, for Python 3.7

from wheelferry.client.common.errors import SmokeFailed
from wheelferry.client.common.files import write_atomic
from wheelferry.client.common.processes import must_run
from wheelferry.client.installer.distributions import site_packages
from wheelferry.client.preflight.present import difference, shown
from wheelferry.client.preflight.pythons import usable_pythons
from wheelferry.client.probe.installed import look_at_environment
from wheelferry.client.probe.programs import run_program

SEES = "wheelferry_present.pth"
ASK_FOLDERS = "import json, site; print(json.dumps(site.getsitepackages()))"


def add_environments(profile, targets, request):
    """Add to the profile what those Pythons have installed that thin targets could be installed with."""
    programs = {}  # type: dict[str, list[Any]]
    for target in targets:
        usable = [python["path"] for python in usable_pythons(profile, target.python)]
        for program in ([request.python] if request.python else usable) if target.present else ():
            programs.setdefault(program, []).extend(target.present)
    if not programs:
        return
    looked = [_look(program, wanted) for program, wanted in programs.items()]
    profile["environments"] = [environment for environment in looked if environment]


def _look(program, wanted):
    """What of the packages `wanted` the Python at `program` has; None when it does not answer."""
    names = {"pip", *(package["name"] for package in wanted)}
    libraries = sorted({name for package in wanted for name in package.get("libraries", ())})
    return look_at_environment(program, run_program, names, libraries)


def see_packages_of(python, folder, version, session):
    """Let the new environment in `folder` import what `python` has installed, behind its own packages.

    Not by venv's --system-site-packages: that knows of no packages in a virtual environment, and puts those
    in the user's home before them.
    """
    command = [python.program, "-I", "-c", ASK_FOLDERS]
    answer = must_run(command, "ask for packages", session.env, session.log)
    write_sight(site_packages(folder, version), answer)


def write_sight(site, answer):
    """Let the environment with the folder of packages `site` see the folders that `ASK_FOLDERS` answered."""
    folders = [folder for folder in json.loads(answer.splitlines()[-1]) if os.path.isdir(folder)]
    # in ASCII: which encoding Python reads such a file in depends on its version and the system
    lines = ["import site; site.addsitedir(%s)\n" % ascii(folder) for folder in folders]
    write_atomic(os.path.join(site, SEES), "".join(lines))


def require_still_present(present, program):
    """Raise SmokeFailed, naming what is there instead, unless `program` finds every package of `present`."""
    if not present:
        return
    environment = _look(program, present)
    if environment is None:
        raise SmokeFailed("%s does not start" % program)
    pairs = [(package, difference(package, environment)) for package in present]
    other = ["  %s must be there: %s" % (shown(package), reason) for package, reason in pairs if reason]
    if other:
        raise SmokeFailed(
            "the packages that the bundle does not carry are not there:\n%s" % "\n".join(other),
            hint="have these versions put back where they were, or make a bundle for those that are there",
        )
