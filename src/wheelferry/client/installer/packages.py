"""Filling an environment with the wheels of a lock: by uv where it runs, else by pip; both offline."""

import os
import pathlib
import re
import shutil
import threading
import time
import zipfile

from wheelferry.client.common.bundle import CHUNK
from wheelferry.client.common.errors import InstallFailed, NotPossibleHere
from wheelferry.client.common.flush import sync_until
from wheelferry.client.common.processes import must_run, require, run

UV, PIP = "uv", "pip"
# What uv says when another program has a file open that it wants to rename: a virus scanner, an indexer.
_WITHHELD = ("os error 5)", "os error 32)", "os error 33)", "Access is denied", "used by another process")
_PATIENCE = 3  # seconds that such a program gets to be done with it


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
    for pip in _pips(bundle, target, python, env, log):
        command = [python, "-I", *pip]
        status, output = run([*command, "--version"], env, log)
        if status == 0 and not _is_old(output):
            break
    else:
        raise NotPossibleHere(
            "nothing can install here: %s, and no pip from 20.3 on starts: %s"
            % (reason, output.strip()[-200:]),
            hint="install pip for the Python that the packages are to be installed with (python -m ensurepip)"
            if target.present
            else "the bundle carries both when a recent wheelferry makes it",
        )
    return Installer(PIP, command, output.split(" from ")[0].strip(), reason)


_ASK_BUNDLED = """
import glob, importlib.util, os, sysconfig
spec = importlib.util.find_spec("ensurepip")
folders = [os.path.join(os.path.dirname(spec.origin), "_bundled")] if spec else []
folders += [sysconfig.get_config_var("WHEEL_PKG_DIR") or ""]
wheels = [path for one in folders if one for path in glob.glob(os.path.join(one, "pip-*.whl"))]
print("".join(sorted(wheels)[-1:]))
"""


def _is_old(version):
    """Whether a pip knows no wheels for manylinux_2_28: that came with pip 20.3 (PEP 600)."""
    match = re.match(r"pip (\d+)\.(\d+)", version.strip())
    return match is not None and (int(match.group(1)), int(match.group(2))) < (20, 3)


def _pips(bundle, target, python, env, log):
    """The arguments that start each pip there is: the bundle's, else the Python's own.

    pip need not be installed: its wheel, being a zip file, can be run as it is; Python itself brings one.
    """
    if target.pip:
        yield [bundle.path(target.pip) + "/pip"]
        return
    yield ["-m", "pip"]
    status, output = run([python, "-I", "-c", _ASK_BUNDLED], env, log)
    if status == 0 and output.strip():
        yield [output.strip() + "/pip"]


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


def install_packages(installer, bundle, pins, python, session, on_package, replace=False):
    """Install the wheels of `pins` into the environment of `python`; raises InstallFailed.

    The lock was resolved where the bundle was made, so nothing is resolved here. The installer checks the
    hashes once more while it reads. `on_package` is called as pip goes along; uv tells only its end. With
    `replace` a package that is there already is installed over, for it may be another build of the version;
    without, what the environment sees of another one's does not count.
    """
    if not pins:
        return
    wanted = os.path.join(session.prefix.tmp, "requirements.txt")
    with open(wanted, "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines("%s==%s --hash=sha256:%s\n" % (pin.name, pin.version, pin.sha256) for pin in pins)
    wheelhouse = _wheels_of(bundle, pins, os.path.join(session.prefix.tmp, "wheels"))
    options = ["--no-index", "--no-deps", "--require-hashes", "-r", wanted]
    if installer.kind == UV:
        _run_uv(installer, [*options, *(["--reinstall"] if replace else [])], wheelhouse, python, session)
    else:
        options += ["--force-reinstall" if replace else "--ignore-installed"]
        _run_pip(installer, options, wheelhouse, session, on_package)


def _wheels_of(bundle, pins, aside):
    """The folder that the wheels of `pins` are found in: the bundle's, or `aside` with links to them alone.

    In a bundle of several targets another file of the same version may lie beside the one that is locked. uv
    and pip choose by the tag which of them is for the newer system, see that its hash is not the lock's, and
    stop. Where no links can be made, they get the bundle's folder.
    """
    wheelhouse = os.path.join(bundle.root, "wheelhouse")
    own = {os.path.basename(pin.wheel) for pin in pins}
    there = {name.partition("/")[2] for name in bundle.files if name.startswith("wheelhouse/")}
    if not {_release(name) for name in own} & {_release(name) for name in there - own}:
        return wheelhouse
    link = os.link if os.name == "nt" else os.symlink
    try:
        os.makedirs(aside, exist_ok=True)
        for name in own - set(os.listdir(aside)):
            link(os.path.join(wheelhouse, name), os.path.join(aside, name))
    except OSError:
        return wheelhouse
    return aside


def _release(wheel):
    """The project and version in a wheel's name."""
    name, _, rest = wheel.partition("-")
    return re.sub(r"[._]+", "_", name).lower(), rest.partition("-")[0]


def _run_uv(installer, options, wheelhouse, python, session):
    # uv takes a path with a comma for two, and ends it at a #
    options += ["--find-links", pathlib.Path(wheelhouse).as_uri().replace(",", "%2C")]
    # one wheel after the other: where two install the same file, uv would else mix them (it costs no time)
    env = dict(session.env, UV_CONCURRENT_INSTALLS="1")
    # beside the environment, so that files are linked into it and not copied
    cache = os.path.join(session.prefix.tmp, "uv-cache")
    command = [*installer.command, "pip", "install", "--cache-dir", cache, "--python", python, *options]
    title = "uv pip install"
    # uv keeps the processor busy and the disk idle
    done = threading.Event()
    session.meanwhile(sync_until, done, session.prefix.root)
    try:
        status, output = run(command, env, session.log, held=session.held)
        if status != 0 and is_withheld(output):
            time.sleep(_PATIENCE)
            must_run(command, title, env, session.log, held=session.held)
        else:
            require(status, output, title)
    finally:
        done.set()
    # what the thread leaves of it goes with all of tmp
    session.meanwhile(shutil.rmtree, cache, True)


def is_withheld(text):
    """Whether an installer failed because another program held a file."""
    return any(sign in text for sign in _WITHHELD)


def _run_pip(installer, options, wheelhouse, session, on_package):
    def listen(line):
        if line.startswith("Processing "):
            on_package()

    # byte code comes with the first import, as after uv: the result is the same
    options += ["--no-compile", "--find-links", wheelhouse]
    command = [*installer.command, "install", *options]
    must_run(command, "pip install", session.env, session.log, held=session.held, on_line=listen)


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
