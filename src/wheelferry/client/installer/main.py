"""The installer's command line: install.sh and install.cmd start it, and so does `wheelferry install`."""

import os
import shutil
import sys
from dataclasses import replace

from wheelferry.client.common.bundle import NAME, open_bundle
from wheelferry.client.common.command import prepare_streams, run_command
from wheelferry.client.common.console import Console
from wheelferry.client.common.errors import BadInput, Interrupted, NotPossibleHere
from wheelferry.client.common.signature import read_signers
from wheelferry.client.data.main import main as data
from wheelferry.client.installer.existing_environment import check_existing, install_into, open_existing
from wheelferry.client.installer.install import (
    InstallRequest,
    completed_earlier,
    install,
    rollback,
    verify_installed,
)
from wheelferry.client.installer.options import PROGRAM, parse_options
from wheelferry.client.installer.own_data import look_before
from wheelferry.client.installer.packages import UV
from wheelferry.client.installer.prefix import LAUNCHERS, RECEIPT, UNINSTALLED, Prefix
from wheelferry.client.installer.present import add_environments
from wheelferry.client.installer.programs import APPS, how_to_run, run_program, split_program
from wheelferry.client.installer.uninstall import finished_by_launcher, uninstall, uninstall_from
from wheelferry.client.preflight.examine import choose
from wheelferry.client.preflight.findings import Needs, Request, problems
from wheelferry.client.preflight.paths import WINDOWS_FOLDER
from wheelferry.client.preflight.pythons import choose_python
from wheelferry.client.probe.folders import usual_folders
from wheelferry.client.probe.installed import python_of
from wheelferry.client.probe.profile import collect, to_text
from wheelferry.client.smoke.own_data import read_own_data
from wheelferry.client.smoke.suite import LEVELS

_INTERRUPTED = "what was installed before is in use still; the same command starts over"
_ENDED = "the same command starts it again"


def main(arguments=None, prog=PROGRAM):
    """Run the command line and return its exit status; every error that is foreseen ends here."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if prog == PROGRAM and _after_prefix(given)[:1] == ["data"]:
        return data(_after_prefix(given)[1:])
    prepare_streams()
    asked = split_program(given) if prog == PROGRAM else None
    if asked:
        return run_command(lambda: _run_program(*asked), Console(), False, "--prefix", _ENDED)
    options = parse_options(given, prog, _programs_here(given))
    console = Console(unattended=options.yes or options.json, quiet=options.quiet)
    try:
        return run_command(lambda: _run(options, console), console, options.json, "--prefix", _INTERRUPTED)
    finally:
        # install.sh started us from a Python that it unpacked there; install.cmd removes its own
        scratch = os.environ.get("WHEELFERRY_SCRATCH")
        if scratch and os.name == "posix":
            shutil.rmtree(scratch, ignore_errors=True)


def _after_prefix(given):
    """The arguments that a person gave to the launcher, which puts --prefix DIR before them."""
    return given[2:] if given[:1] == ["--prefix"] else given


def _run_program(root, name, arguments):
    return {"exit_code": run_program(root, name, arguments)}


def _programs_here(arguments):
    """Lines for --help about the programs of the installation that a launcher names first."""
    if len(arguments) < 2 or arguments[0] != "--prefix":
        return []
    environment = Prefix(arguments[1]).current()
    return how_to_run("wheelferry", os.path.join(environment.folder, APPS)) if environment else []


def _run(options, console):
    """Do the one thing that the options ask for; returns the result as plain values."""
    for name in ("prefix", "bundle", "target", "python", "into", "key"):
        if getattr(options, name) == "":
            raise BadInput("--%s is empty" % name, hint="is a variable not set?")
    own = _own_data(options)
    folder = None if options.probe or options.rollback or options.uninstall else _bundle_folder(options)
    if options.key and folder is None:
        raise BadInput("--key checks a bundle, and there is none here", hint="name it with --bundle DIR")
    if options.probe:
        return _probe(options, console)
    if options.rollback:
        environment = rollback(_existing(options), console)
        console.say("in use now: environment %d (%s)" % (environment.number, _title(environment)))
        return {"environment": environment.number, "bundle": environment.receipt["bundle"]}
    if options.uninstall:
        return _uninstall(options, console)
    if folder is None and options.verify in LEVELS:
        levels = LEVELS[: LEVELS.index(options.verify) + 1]
        environment, results = verify_installed(_existing(options), levels, console, own)
        return {"environment": environment.number, "suite": results}
    if folder is None:
        raise BadInput(
            "there is no bundle here",
            hint="give --verify smoke, --rollback, --uninstall, or a program's name (--help lists them); "
            "or --bundle DIR",
        )
    return _install(_open(folder, options, console), options, own, console)


def _own_data(options):
    """The user's data to prove an installation with; None without."""
    own = read_own_data(
        options.data, options.weights, options.config, options.expect, options.budget, options.evaluate_only
    )
    if own and options.verify != LEVELS[-1]:
        raise BadInput("--data is for the level %s" % LEVELS[-1], hint="add --verify %s" % LEVELS[-1])
    return own


def _open(folder, options, console):
    """The bundle; with --key only after its signature, and before anything else of it, was checked."""
    if not options.key:
        return open_bundle(folder)
    bundle = open_bundle(folder, read_signers(options.key, folder), console.log)
    console.say("signed by %s" % bundle.signed_by)
    return bundle


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
    folders = [os.path.abspath(options.prefix)] if options.prefix else usual_folders()
    program = python_of(options.python) if options.python else None
    if options.python and program is None:
        raise BadInput("there is no Python at %s" % options.python, hint="give an environment or its Python")
    profile = collect(folders, environments=[program] if program else [])
    try:
        with open(options.probe, "w", encoding="utf-8") as stream:
            stream.write(to_text(profile))
    except OSError as error:
        raise BadInput(
            "cannot write %s: %s" % (options.probe, error.strerror),
            hint="name a file in a folder that exists",
        ) from None
    console.say("%s: the profile of this machine, for wheelferry bundle --profile" % options.probe)
    return profile


def _uninstall(options, console):
    existing = open_existing(options.into, console) if options.into else None
    root = existing.folder if existing else _existing(options).root
    if not console.unattended:
        _confirm(console, "Remove the installation in %s?" % root)
    left = uninstall_from(existing, console) if existing else uninstall(Prefix(root), console)
    if left:
        console.say("these files are not the installer's and stay in %s:" % root)
        for name in left[:20]:
            console.say("  %s" % name)
    else:
        console.say("removed from %s" % root if existing else "removed: %s" % root)
    rest = os.path.join(root, UNINSTALLED)
    if os.path.isdir(rest) and not finished_by_launcher():
        console.warn("%s stays: it holds what this very program runs from; delete it afterwards" % rest)
    elif not existing and not left and os.path.isdir(root) and not os.path.isdir(rest):
        console.say("the folder itself is empty and stays: a window or a program is open in it")
    return {"left": left}


def default_prefix(recipe):
    """A folder of the user's own that needs no rights: where other programs keep their data."""
    if os.name == "posix":
        base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
        folder = "wheelferry"
    else:
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~")
        folder = WINDOWS_FOLDER
    if base.startswith("~"):
        raise BadInput("this account has no home folder", hint="name a folder with --prefix DIR")
    return os.path.join(base, folder, recipe)


def _install(bundle, options, own, console):
    """Look at the machine, choose, ask, install; with --check only the first two."""
    if not bundle.targets:
        raise BadInput("there is nothing to install here", hint="--probe FILE writes this machine's profile")
    own = own and look_before(own, bundle, console)
    console.say("%s, made by %s" % (bundle.title, bundle.created_by))
    existing = open_existing(options.into, console) if options.into else None
    root = existing.folder if existing else os.path.abspath(options.prefix or default_prefix(bundle.recipe))
    profile, target, findings = _preflight(bundle, root, existing, options, console)
    asked = not (console.unattended or options.check or options.prefix or existing)
    if asked:
        chosen = os.path.abspath(os.path.expanduser(console.ask("Install into which folder?", root)))
        if chosen != root:
            root = chosen
            profile, target, findings = _preflight(bundle, root, existing, options, console)
    if target is None:
        _refuse(findings)
    if existing:
        check_existing(existing, target)
    else:
        Prefix(root).check()
    if options.check:
        console.say("it can be installed here")
        return {"target": target.name, "prefix": root, "findings": _plain(findings[target.name])}
    if asked:
        _confirm(console, "Install %s into %s?" % (target.name, root))
    wanted = _install_request(bundle, target, profile, findings[target.name], existing, root, options, own)
    if existing:
        receipt = install_into(wanted, existing, console)
        console.say("installed into %s; its receipt and log are in %s" % (root, receipt["prefix"]))
        folder = os.path.join(receipt["prefix"], APPS)
        for line in how_to_run("%s -I %s" % (existing.python, folder), folder):
            console.say(line)
        return receipt
    return _installed(install(wanted, Prefix(root), console), Prefix(root), console)


def _refuse(findings):
    forbidden = [finding for own in findings.values() for finding in problems(own)]
    raise NotPossibleHere(
        "this bundle cannot be installed here:\n"
        + "\n".join("  %s" % finding.message for finding in forbidden),
        hint="; ".join(dict.fromkeys(finding.remedy for finding in forbidden if finding.remedy)),
        details={"findings": {name: _plain(own) for name, own in findings.items()}},
    )


def _preflight(bundle, root, existing, options, console):
    """(profile, target or None, findings by target), told to the person."""
    request = _request(root, existing, options)
    with console.task("look at this machine"):
        named = [request.python] if request.python else []
        search = not named and not all(target.runtime for target in bundle.targets)
        profile = collect([root], programs=named, search=search)
        add_environments(profile, bundle.targets, request)
    for folder in profile["folders"]:
        if folder["free_bytes"] is not None and not existing:
            folder["free_bytes"] += Prefix(root).leftover_bytes()
    if not existing and not options.reinstall and _is_complete(bundle, request, profile, options, root):
        request = replace(request, needs=Needs(0, 0))
    target, findings = choose(profile, bundle, request, options.target)
    shown = [target] if target else [bundle.target(name) for name in findings]
    for one in shown:
        console.say("target %s" % one.name)
        for finding in findings[one.name]:
            console.finding(finding)
    return profile, target, findings


def _is_complete(bundle, request, profile, options, root):
    """Whether all is there that would be installed: an earlier run was killed, or this is the second one."""
    targets = [bundle.target(options.target)] if options.target else bundle.targets
    for target in targets:
        python = choose_python(profile, target, request)
        if completed_earlier(bundle, target, python["path"] if python else None, Prefix(root)):
            return True
    return False


def _request(root, existing, options):
    return Request(
        prefix=root,
        python=existing.python if existing else os.path.abspath(options.python) if options.python else "",
        without_gpu=options.without_gpu,
        installer=options.installer or UV,
    )


def _install_request(bundle, target, profile, findings, existing, root, options, own):
    request = _request(root, existing, options)
    python = choose_python(profile, target, request)
    verify = options.verify or LEVELS[0]
    return InstallRequest(
        bundle=bundle,
        target=target,
        python=python["path"] if python else None,
        installer=options.installer,
        levels=() if verify == "none" else LEVELS[: LEVELS.index(verify) + 1],
        reinstall=options.reinstall,
        findings=findings,
        profile=profile,
        own=own,
    )


def _confirm(console, question):
    if console.ask(question, "yes").lower() not in ("y", "yes"):
        raise Interrupted("nothing was changed")


def _plain(findings):
    return [finding.to_json() for finding in findings]


def _installed(environment, prefix, console):
    """Say where everything is, and how it is used."""
    console.say("")
    console.say("in use: environment %d in %s" % (environment.number, prefix.root))
    for name in LAUNCHERS:
        if os.path.isfile(prefix.join(name)):
            console.say("  %s" % prefix.join(name))
    for line in how_to_run(prefix.join(LAUNCHERS[1]), os.path.join(environment.folder, APPS)):
        console.say(line)
    console.say("receipt and log: %s, %s" % (os.path.join(environment.folder, RECEIPT), prefix.log))
    return environment.receipt


if __name__ == "__main__":
    sys.exit(main())
