"""The Python that an environment is made of: the one the bundle carries, or one of this machine."""

import json
import os

from wheelferry.client.common.archives import unpack_archive
from wheelferry.client.common.errors import InstallFailed, NotPossibleHere
from wheelferry.client.common.files import replace
from wheelferry.client.common.flush import sync
from wheelferry.client.common.processes import run
from wheelferry.client.installer.prefix import write_listing

_ASK = """
import json, platform, struct, sys, venv
print(json.dumps({"version": platform.python_version(), "bits": 8 * struct.calcsize("P"),
                  "implementation": platform.python_implementation(), "prefix": sys.base_prefix}))
"""


class Python(object):
    """An interpreter: its program, its full version, and the name of its folder in runtime/, if carried."""

    def __init__(self, program, version, runtime=None):
        self.program = program
        self.version = version
        self.runtime = runtime

    def to_json(self):
        """As the receipt keeps it."""
        return {"program": self.program, "version": self.version, "runtime": self.runtime}


def inspect_python(program, env, log):
    """What the Python at `program` says of itself; None when it does not answer, or has no venv."""
    status, output = run([program, "-I", "-c", _ASK], env, log)
    if status != 0:
        return None
    return json.loads(output.splitlines()[-1])


def unpack_runtime(bundle, target, prefix, env, log):
    """The Python that the bundle carries for `target`, below the prefix; unpacked aside, then renamed.

    One that is there already and does not answer makes way for a new one.
    """
    runtime = target.runtime
    name = "cpython-%s-%s" % (runtime["version"], bundle.files[runtime["path"]][1][:8])
    folder = os.path.join(prefix.runtimes, name)
    program = os.path.join(folder, *runtime["program"].split("/"))
    answer = inspect_python(program, env, log) if os.path.isdir(folder) else None
    if answer is None:
        if os.path.isdir(folder):
            replace(folder, os.path.join(prefix.tmp, "broken"))
        aside = os.path.join(prefix.tmp, "runtime")
        unpack_archive(bundle.path(runtime["path"]), aside)
        write_listing(aside)
        os.makedirs(prefix.runtimes, exist_ok=True)
        sync(aside)
        replace(aside, folder)
        answer = inspect_python(program, env, log)
    if answer is None:
        raise InstallFailed(
            "the Python of the bundle does not start here: %s" % program,
            hint="see %s; is the disk mounted noexec?" % prefix.log,
        )
    return Python(program, answer["version"], name)


def use_python(program, target, env, log):
    """The Python at `program`, if it is one that `target` was made for."""
    answer = inspect_python(program, env, log)
    if answer is None:
        raise NotPossibleHere(
            "%s is not a Python that can make environments" % program,
            hint="choose another with --python, or leave it out",
        )
    if answer["implementation"] != "CPython" or not answer["version"].startswith(target.python + "."):
        raise NotPossibleHere(
            "%s is %s %s, the target is for CPython %s"
            % (program, answer["implementation"], answer["version"], target.python),
            hint="choose another with --python, or another --target",
        )
    return Python(program, answer["version"])
