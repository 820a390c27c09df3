"""The installer's command line: install.sh and install.cmd start it, and so does `wheelferry install`."""

import argparse
import errno
import json
import os
import signal
import sys
import zipfile

from wheelferry.client import preflight
from wheelferry.client import profile as profiles
from wheelferry.client.bundle import NAME, find_damage, open_bundle
from wheelferry.client.console import Console, human_size
from wheelferry.client.errors import BadInput, Damaged, Interrupted, NotPossibleHere, Stop
from wheelferry.client.install import Wish, install, rollback, verify_installed
from wheelferry.client.into import install_into, uninstall_from
from wheelferry.client.packages import PIP, UV
from wheelferry.client.prefix import RECEIPT, Prefix
from wheelferry.client.suite import LEVELS
from wheelferry.client.uninstall import uninstall

# What the machine refuses, whatever was being done.
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)

_DESCRIPTION = """\
Install a wheelferry bundle on this machine, without a network.

Without options it chooses the target that fits this machine, looks whether everything is there,
asks for the folder, installs, proves the result with the bundle's own checks, and only then puts
it into use. What was installed there before stays in use until that moment.
"""
_EPILOG = """\
Exit codes: 0 done; 1 the checks failed; 2 bad input; 3 something is missing on this machine;
4 files of the bundle are damaged; 5 an installation failed; 130 interrupted.
"""


def make_parser():
    """The options."""
    parser = argparse.ArgumentParser(
        prog="install",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--prefix", metavar="DIR", help="folder of the installation; asked for when not given")
    add("--target", metavar="NAME", help="target of the bundle; default: the one that fits this machine best")
    add("--yes", "-y", action="store_true", help="ask nothing")
    add("--json", action="store_true", help="print one JSON document on stdout; asks nothing")
    add("--quiet", "-q", action="store_true", help="show no progress")
    add("--check", action="store_true", help="only look whether it can be installed here; change nothing")
    add("--verify", choices=("none", *LEVELS), help="checks to run: smoke by default, train takes a minute more; "
        "without a bundle at hand, checks what is installed")  # fmt: skip
    add("--python", metavar="PROGRAM", help="Python of this machine to build on, instead of the bundle's")
    add("--into", metavar="ENV", help="install into this existing virtual or conda environment, or the one of "
        "this Python program; it is changed in place, with no way back")  # fmt: skip
    add("--installer", choices=(UV, PIP), help="what installs: uv if it runs here, else pip")
    add("--without-gpu", action="store_true", help="accept a CUDA target although no GPU here can run it")
    add("--reinstall", action="store_true", help="make a new environment even if this bundle is installed")
    add("--rollback", action="store_true", help="go back to the environment before the last installation")
    add("--uninstall", action="store_true", help="remove what was installed, and nothing else")
    add("--probe", metavar="FILE", help="only write this machine's profile, for wheelferry bundle --profile")
    add("--bundle", metavar="DIR", help="the bundle; default: where this installer lies")
    return parser


def main(arguments=None):
    """Run the command line and return its exit status; every error of ours ends here."""
    options = make_parser().parse_args(arguments)
    console = Console(unattended=options.yes or options.json, quiet=options.quiet)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _stop)
    try:
        result = _run(options, console)
    except Stop as error:
        return _end(error, options, console)
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        told = "%s: %s" % (error.strerror, error.filename or "while writing")
        return _end(
            NotPossibleHere(told, hint="free some space, or choose another --prefix"), options, console
        )
    if options.json:
        sys.stdout.write(json.dumps(result, indent=1, sort_keys=True) + "\n")
    return result.get("exit_code", 0)


def _stop(_number, _frame):
    raise Interrupted(
        "interrupted", hint="what was installed before is in use still; the same command starts over"
    )


def _end(error, options, console):
    console.log.write("%s\n" % error)
    if options.json:
        document = {"error": str(error), "hint": error.hint, "exit_code": error.exit_code}
        sys.stdout.write(json.dumps(document, indent=1, sort_keys=True) + "\n")
    sys.stderr.write("error: %s\n" % error)
    if error.hint:
        sys.stderr.write("  -> %s\n" % error.hint)
    return error.exit_code


def _run(options, console):
    """Do the one thing that the options ask for; returns the result as plain values."""
    if options.probe:
        return _probe(options, console)
    if options.rollback:
        environment = rollback(_existing(options), console)
        console.say("in use now: environment %d (%s)" % (environment.number, _title(environment)))
        return {"environment": environment.number, "bundle": environment.receipt["bundle"]}
    if options.uninstall:
        return _uninstall(options, console)
    folder = _bundle_folder(options)
    if folder is None and options.verify in LEVELS:
        levels = LEVELS[: LEVELS.index(options.verify) + 1]
        environment, results = verify_installed(_existing(options), levels, console)
        return {"environment": environment.number, "suite": results}
    if folder is None:
        raise BadInput(
            "there is no bundle here", hint="say --verify smoke, --rollback or --uninstall; or --bundle DIR"
        )
    return _install(open_bundle(folder), options, console)


def _bundle_folder(options):
    """The folder of the bundle; None for the installer that stayed in a prefix."""
    if options.bundle:
        return os.path.abspath(options.bundle)
    loader = sys.modules["__main__"].__spec__
    archive = getattr(getattr(loader, "loader", None), "archive", None)
    here = os.path.dirname(os.path.abspath(archive)) if archive else os.getcwd()
    return here if os.path.isfile(os.path.join(here, NAME)) else None


def _existing(options):
    """The prefix that the options name, which must be one."""
    if not options.prefix:
        raise BadInput("which installation?", hint="name its folder with --prefix DIR")
    prefix = Prefix(options.prefix)
    if not prefix.is_ours:
        raise NotPossibleHere(
            "nothing is installed in %s" % prefix.root, hint="name the folder with --prefix"
        )
    return prefix


def _title(environment):
    bundle = environment.receipt["bundle"]
    return "%s@%s, %s" % (bundle["recipe"], bundle["release"], environment.receipt["target"])


def _probe(options, console):
    profile = profiles.collect([options.prefix or default_prefix("")])
    with open(options.probe, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(profile, indent=1, sort_keys=True) + "\n")
    console.say("%s: the profile of this machine, for wheelferry bundle --profile" % options.probe)
    return profile


def _uninstall(options, console):
    if options.into:
        left = uninstall_from(options.into, console)
        root = options.into
    else:
        prefix = _existing(options)
        if not options.yes and not options.json:
            _confirm(console, "Remove the installation in %s?" % prefix.root)
        left, root = uninstall(prefix, console), prefix.root
    if left:
        console.say("these files are not the installer's and stay in %s:" % root)
        for name in left[:20]:
            console.say("  %s" % name)
    else:
        console.say("removed: %s" % root)
    return {"left": left}


def default_prefix(recipe):
    """A folder of the user's own that needs no rights: where other programs keep their data."""
    if os.name == "posix":
        base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    else:
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~")
    return os.path.join(base, "wheelferry", recipe)


def _install(bundle, options, console):
    console.say("%s@%s, made by %s" % (bundle.recipe, bundle.release, bundle.created_by))
    root = os.path.abspath(options.prefix or default_prefix(bundle.recipe))
    request = preflight.Request(
        prefix=root,
        temp=None,
        without_gpu=options.without_gpu,
        python=options.python,
        installer=options.installer,
        into=options.into,
    )
    with console.task("look at this machine"):
        profile = profiles.collect([root])
    target, findings = _choose(bundle, profile, request, options, console)
    if options.check:
        return _checked(bundle, target, findings, console)
    if not options.prefix and not options.into and not console.unattended:
        root = _ask_prefix(root, console)
        profile = profiles.collect([root])
        request.prefix = root
        target, findings = _choose(bundle, profile, request, options, console)
    if not console.unattended:
        _confirm(console, "Install into %s?" % (options.into or root))
    wish = _wish(bundle, target, profile, request, options, findings)
    if options.into:
        return install_into(wish, options.into, console)
    return _installed(install(wish, Prefix(root), console), root, console)
