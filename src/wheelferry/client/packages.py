"""Filling an environment with the wheels of a lock: by uv where it runs, else by pip; both offline."""

import os
import zipfile

from wheelferry.client.bundle import CHUNK
from wheelferry.client.errors import InstallFailed, NotPossibleHere
from wheelferry.client.processes import must_run, run

UV, PIP = "uv", "pip"


class Installer(object):
    """What installs: its kind (uv or pip), the command that starts it, its version, and why not the other."""

    def __init__(self, kind, command, version, reason=""):
        self.kind = kind
        self.command = list(command)
        self.version = version
        self.reason = reason


def find_installer(bundle, target, python, work, env, log, wanted=None):
    """The uv that the bundle carries, if this machine runs it; else pip, started from its own wheel.

    `wanted` names one of the two. Raises NotPossibleHere when there is none.
    """
    reason = "pip was asked for"
    if wanted != PIP:
        found, reason = _try_uv(bundle, target, work, env, log)
        if found:
            return found
        if wanted == UV:
            raise NotPossibleHere("uv was asked for, but %s" % reason, hint="leave out --installer")
    # pip is installed nowhere: its wheel, being a zip file, can be run as it is
    carried = [bundle.path(target.pip) + "/pip"] if target.pip else ["-m", "pip"]
    command = [python, "-I", *carried]
    status, output = run([*command, "--version"], env, log)
    if status != 0:
        raise NotPossibleHere(
            "nothing can install here: %s, and pip does not start: %s" % (reason, output.strip()[-200:]),
            hint="the bundle carries both when a recent wheelferry makes it",
        )
    return Installer(PIP, command, output.split(" from ")[0].strip(), reason)


def _try_uv(bundle, target, work, env, log):
    """(Installer, "") or (None, why uv cannot be used)."""
    if not target.uv:
        return None, "the bundle carries no uv"
    program = os.path.join(work, "uv.exe" if target.platform.startswith("win") else "uv")
    with zipfile.ZipFile(bundle.path(target.uv)) as archive:
        ending = "/scripts/" + os.path.basename(program)
        (member,) = [name for name in archive.namelist() if name.endswith(ending)]
        with archive.open(member) as source, open(program, "wb") as sink:
            for piece in iter(lambda: source.read(CHUNK), b""):
                sink.write(piece)
    os.chmod(program, 0o700)
    status, output = run([program, "--version"], env, log)
    if status != 0:
        return None, "uv does not run here (%s)" % (output.strip().splitlines() or ["no answer"])[-1]
    return Installer(UV, [program], output.strip()), ""


def install_packages(installer, bundle, pins, python, work, on_package, replace=False):
    """Install the wheels of `pins` into the environment of `python`; raises InstallFailed.

    The lock was resolved where the bundle was made, so nothing is resolved here, and every wheel was hashed
    just before. `on_package` is called as pip goes along; uv tells only its end. With `replace` a package
    that is there already is installed over, for it may be another build of the same version.
    """
    if pins and installer.kind == UV:
        _run_uv(installer, bundle, pins, python, work, replace)
    elif pins:
        _run_pip(installer, bundle, pins, python, work, on_package, replace)


def _run_uv(installer, bundle, pins, python, work, replace):
    """uv, without hashes where that is safe: asked for hashes it unpacks with one thread, a quarter slower.

    (Measured with torch's closure of 2.8 GB on two cores.) Safe is a folder with these wheels and no others,
    since torch==2.13.0 is also what a 2.13.0+cpu satisfies.
    """
    folder = os.path.join(work.prefix.tmp, "wheels")
    os.makedirs(folder)
    hashed = False
    try:
        for pin in pins:
            os.symlink(bundle.path(pin.wheel), os.path.join(folder, os.path.basename(pin.wheel)))
    except OSError:  # Windows lets few people make links
        folder, hashed = os.path.join(bundle.root, "wheelhouse"), True
    # beside the environment, so that files are linked into it and not copied
    options = ["--cache-dir", os.path.join(work.prefix.tmp, "uv-cache"), "--python", python]
    options += ["--reinstall"] if replace else []
    options += _source(folder, pins, work, hashed)
    must_run(
        [*installer.command, "pip", "install", *options], "uv pip install", work.env, work.log, held=work.held
    )


def _run_pip(installer, bundle, pins, python, work, on_package, replace):
    def listen(line):
        if line.startswith("Processing "):
            on_package()

    # byte code comes with the first import, as after uv: the result is the same
    options = ["--no-compile"] + (["--force-reinstall"] if replace else [])
    options += _source(os.path.join(bundle.root, "wheelhouse"), pins, work, hashed=True)
    command = [*installer.command, "--python", python, "install", *options]
    must_run(command, "pip install", work.env, work.log, held=work.held, on_line=listen)


def _source(folder, pins, work, hashed):
    """The options that say what to install, and that it comes from `folder` alone."""
    wanted = os.path.join(work.prefix.tmp, "requirements.txt")
    with open(wanted, "w", encoding="utf-8", newline="\n") as stream:
        for pin in pins:
            digest = " --hash=sha256:%s" % pin.sha256 if hashed else ""
            stream.write("%s==%s%s\n" % (pin.name, pin.version, digest))
    options = ["--no-index", "--find-links", folder, "--no-deps", "-r", wanted]
    return options + (["--require-hashes"] if hashed else [])


def check_installed(pins, found):
    """Raise InstallFailed unless `found` (version by normalised name) has every pin."""
    wrong = []
    for pin in pins:
        # as the wheel's name has it: a .dist-info folder repeats that, normalised or not
        version = os.path.basename(pin.wheel).split("-")[1]
        if found.get(pin.name) != version:
            seen = found.get(pin.name, "nothing")
            wrong.append("%s %s is locked, %s is installed" % (pin.name, version, seen))
    if wrong:
        raise InstallFailed("the environment is not what the lock says:\n" + "\n".join(wrong))
