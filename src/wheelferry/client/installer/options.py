"""The options of the installer, and what its --help teaches."""

import argparse

from wheelferry.client.installer.packages import PIP, UV
from wheelferry.client.smoke.own_data import DEFAULT_BUDGET
from wheelferry.client.smoke.suite import LEVELS

PROGRAM = "install"
_DESCRIPTION = """\
Install a wheelferry bundle on this machine, without a network.

Without options it chooses the target that fits this machine, looks whether everything is there,
asks for the folder, installs, proves the result with the bundle's own checks, and only then puts
it into use. What was installed there before stays in use until that moment.
"""
_VERIFY = "checks to run: smoke by default, train takes a minute more; without a bundle: of what is installed"
_INTO = "change this existing environment (virtual or conda) in place: its folder, or its Python"
_KEY = "public key or allowed_signers file, not of the bundle: refuse what none of these signed"
_EPILOG = """\
Once installed: DIR/wheelferry data check|convert PATH examines labelled pictures; see its --help.

Exit codes: 0 done; 1 the checks failed; 2 bad input; 3 something is missing on this machine;
4 files of the bundle are damaged, or its signature is wrong; 5 an installation failed; 130 interrupted.
"""


def make_parser(prog=PROGRAM, programs=()):
    """The options. As `wheelferry install` the bundle and the prefix can be given by position.

    `programs` are lines that say what can be run where this installer is at home.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_DESCRIPTION,
        epilog="\n".join([*programs, "", _EPILOG]) if programs else _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    if prog != PROGRAM:
        add("bundle_given", metavar="BUNDLE", nargs="?", help="the bundle's folder")
        add("prefix_given", metavar="PREFIX", nargs="?", help="folder of the installation")
    add("--prefix", metavar="DIR", help="folder of the installation; asked for when not given")
    add("--target", metavar="NAME", help="target of the bundle; default: the one that fits this machine best")
    add("--yes", "-y", action="store_true", help="ask nothing")
    add("--json", action="store_true", help="print one JSON document on stdout; asks nothing")
    add("--quiet", "-q", action="store_true", help="show no progress")
    add("--check", action="store_true", help="only look whether it can be installed here; change nothing")
    add("--verify", choices=("none", *LEVELS), help=_VERIFY)
    add("--python", metavar="PROGRAM", help="Python of this machine to build on, instead of the bundle's")
    add("--into", metavar="ENV", help=_INTO)
    add("--installer", choices=(UV, PIP), help="what installs: uv if it runs here, else pip")
    add("--without-gpu", action="store_true", help="accept a CUDA target although no GPU here can run it")
    add("--reinstall", action="store_true", help="make a new environment even if this bundle is installed")
    add("--rollback", action="store_true", help="go back to the environment before the last installation")
    add("--uninstall", action="store_true", help="remove what was installed, and nothing else")
    add("--probe", metavar="FILE", help="only write this machine's profile, for wheelferry bundle --profile")
    add("--bundle", metavar="DIR", help="the bundle; default: where this installer lies")
    add("--key", metavar="FILE", help=_KEY)
    _add_own_data(parser.add_argument_group(_OWN, _OWN_TOLD).add_argument)
    return parser


_OWN = "data of your own, with --verify train"
_OWN_TOLD = """\
Trains or evaluates on your labelled pictures, as in
  --verify train --data parts --weights RUN/model_final.pth --expect 'bbox/AP50>=60'
"""


def _add_own_data(add):
    add("--data", metavar="DIR", help="data set: folder, label file or archive, or the name of an asset")
    add("--weights", metavar="FILE|NAME", help="weights to begin with; default: what the bundle has")
    add(
        "--config",
        metavar="FILE|NAME",
        help="their configuration: a file, or one of the project's own",
    )
    add("--expect", metavar="'METRIC>=N'", action="append", help="what must be reached; repeat for several")
    add(
        "--budget",
        metavar="TIME",
        help="for training and measuring: 90s, 10m, 1h (default: %s)" % DEFAULT_BUDGET,
    )
    add("--evaluate-only", action="store_true", help="train nothing: measure the weights as they are")


def parse_options(arguments, prog, programs=()):
    """The options given; what was given by position counts like its option."""
    options = make_parser(prog, programs).parse_args(arguments)
    for name in ("bundle", "prefix"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(options, name + "_given", None))
    return options
