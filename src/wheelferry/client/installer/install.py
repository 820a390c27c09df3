"""Installing: a new environment is completed and proven beside the old one, then one rename makes it the one.

Whatever moment it is killed at, the environment in use stays what it was, and the next run sweeps away
what was not completed.
"""

import contextlib
import datetime as dt
import os
import shutil
import tempfile
import threading

from wheelferry.client.common.bundle import ProcessorNeed, find_damage
from wheelferry.client.common.errors import Damaged, InstallFailed, NotPossibleHere, SmokeFailed
from wheelferry.client.common.files import is_writable, remove_tree, replace
from wheelferry.client.common.processes import clean_environment, must_run, run
from wheelferry.client.common.sizes import human_size
from wheelferry.client.installer.assets import place_assets
from wheelferry.client.installer.distributions import distributions, sha256_of, site_packages, take_over
from wheelferry.client.installer.imports import prove_imports
from wheelferry.client.installer.launchers import write_launchers
from wheelferry.client.installer.own_data import hand_in
from wheelferry.client.installer.packages import (
    PIP,
    UV,
    check_installed,
    find_installer,
    install_packages,
    is_withheld,
)
from wheelferry.client.installer.prefix import INSTALLER, environment_python, write_listing
from wheelferry.client.installer.present import require_still_present, see_packages_of
from wheelferry.client.installer.programs import APPS
from wheelferry.client.installer.pythons import unpack_runtime, use_python
from wheelferry.client.installer.replaced_files import remove_files
from wheelferry.client.installer.wheels import Layout, dist_info, files_of
from wheelferry.client.probe.machine import read_cpu
from wheelferry.client.smoke.own_data import locate, require_support
from wheelferry.client.smoke.suite import prove

RECEIPT_FORMAT = 1


class InstallRequest(object):
    """What is to be installed and how: the bundle's target, a Python of this machine (None: the carried one).

    `installer` is uv, pip or None (uv where it runs); `levels` are the suite's levels to prove; `findings`
    and `profile` are what preflight saw, for the receipt. `own` is OwnData to prove it with, or None.
    """

    def __init__(self, bundle, target, python, installer, levels, reinstall, findings, profile, own=None):
        self.bundle = bundle
        self.target = target
        self.python = python
        self.installer = installer
        self.levels = levels
        self.reinstall = reinstall
        self.findings = findings
        self.profile = profile
        self.own = own


class InstallSession(object):
    """What the steps of one installation share: prefix, lock, clean environment, console, seconds by step."""

    def __init__(self, prefix, lock, console):
        self.prefix = prefix
        self.held = () if lock is None else (lock,)
        self.console = console
        self.log = console.log
        self.env = clean_environment(prefix.tmp)
        self.seconds = {}
        self.threads = []

    def meanwhile(self, function, *arguments):
        """Call `function` while we go on; `finish` waits for it."""
        thread = threading.Thread(target=function, args=arguments)
        thread.start()
        self.threads.append(thread)

    def finish(self):
        """Wait for what is done meanwhile."""
        while self.threads:
            self.threads.pop().join()

    @contextlib.contextmanager
    def task(self, title, key, total=None):
        """Progress whose seconds are noted under `key`."""
        with self.console.task(title, total) as task:
            yield task
        self.seconds[key] = task.seconds


def install(request, prefix, console):
    """Install into `prefix` and return its current environment.

    Raises Damaged with every bad file, NotPossibleHere, InstallFailed, or SmokeFailed; the environment
    that was in use before is then in use still.
    """
    _warn_of_umask(console)
    with prefix.at_work(console) as lock:
        session = InstallSession(prefix, lock, console)
        before = prefix.current()
        environment = _reuse(request, session) or _build(request, session, before)
        _hand_over(request, prefix, environment)
        prefix.keep([environment, *_spare(prefix, environment, before)], console)
        return environment


def _warn_of_umask(console):
    """An administrator installs for others; a strict umask would shut them out without a word."""
    if os.name == "posix" and os.geteuid() == 0:
        mask = os.umask(0o022)
        os.umask(mask)
        if mask & 0o055:
            console.warn("umask %03o: other people will not be able to use this installation" % mask)


def _reuse(request, session):
    """An environment that was completed earlier and still passes its checks; None when there is none."""
    ready = (
        None
        if request.reinstall
        else completed_earlier(request.bundle, request.target, request.python, session.prefix)
    )
    if ready is None:
        return None
    session.console.say("environment %d is complete already; proving it again" % ready.number)
    try:
        site = site_packages(ready.folder, request.target.python)
        prove_all(request, ready.python, ready.folder, site, session)
    except SmokeFailed as error:
        session.console.warn("environment %d fails now, so a new one is made: %s" % (ready.number, error))
        return None
    return ready


def prove_all(request, python, folder, site, session):
    """Import the compiled packages in `site`, then run the suite in `folder`; raises SmokeFailed.

    Nothing is done where no level of the suite was asked for.
    """
    if request.levels:
        prove_imports(python, site, request.target.processor, read_cpu(), session)
    own = request.own and hand_in(request.own, python, request.bundle.path(INSTALLER), session)
    return prove(python, folder, request.levels, session, own=own)


def _spare(prefix, environment, before):
    """The environment to keep for a rollback: the one that was in use, else the newest other one."""
    if before is not None and before.number != environment.number:
        return [before]
    others = [one for one in prefix.environments() if one.receipt and one.number != environment.number]
    return others[-1:]


def completed_earlier(bundle, target, python, prefix):
    """The newest environment of the same bundle, target and Python (None: a carried one) that is complete."""
    for environment in reversed(prefix.environments()):
        receipt = environment.receipt
        if not receipt or receipt["bundle"]["digest"] != bundle.digest:
            continue
        own_python = receipt["python"]["program"] if receipt["python"]["runtime"] is None else None
        if receipt["target"] == target.name and own_python == python:
            return environment
    return None


def _build(request, session, before):
    """A complete and proven environment in a new folder; the folder is removed if that does not succeed."""
    check_files(request, session)
    environment = session.prefix.next_folder()
    try:
        folder = environment.folder
        python = _provide_python(request, session)
        with session.task("make environment %d" % environment.number, "venv"):
            command = [python.program, "-I", "-m", "venv", "--without-pip", folder]
            must_run(command, "python -m venv", session.env, session.log, held=session.held)
        if request.target.present:
            see_packages_of(python, folder, request.target.python, session)
            require_still_present(request.target.present, environment.python)
        taken = _take_over(request, session, before, folder)
        installer = fill(request, session, environment.python, lambda: _clear(request, folder, taken), taken)
        packages = list_packages(request, site_packages(folder, request.target.python))
        copy_suite(request.bundle, folder)
        put_assets(request, session, folder, before)
        site = site_packages(folder, request.target.python)
        results = prove_all(request, environment.python, folder, site, session)
        write_listing(folder)
        receipt = make_receipt(request, session, python, installer, packages, results)
        receipt.update(environment=environment.number, taken_over=sorted(taken))
        session.finish()
        return session.prefix.complete(environment, receipt)
    except BaseException:
        session.finish()
        # what cannot be moved on Windows is swept away by the next run: it is marked as incomplete
        with contextlib.suppress(PermissionError):
            session.prefix.discard(environment)
        raise


def check_files(request, session):
    """Hash every file that the installation reads; raises Damaged that lists all bad ones of the bundle."""
    bundle = request.bundle
    names = bundle.files_for(request.target)
    total = sum(bundle.files[name][0] for name in names if name in bundle.files)
    title = "check %d files (%s)" % (len(names), human_size(total))
    with session.task(title, "check files", total) as task:
        damage = find_damage(bundle, names, task.advance)
    if not damage:
        return
    others = [name for name in bundle.files if name not in names]
    with session.task("check the other files of the bundle", "check all") as task:
        damage += find_damage(bundle, others, task.advance)
    raise Damaged(
        "%d files of the bundle are not what was packed:\n%s"
        % (len(damage), "\n".join("  %s %s" % item for item in damage)),
        hint="copy these files again, or the whole bundle; if it repeats, the stick or its reader is broken",
        details={"damaged": [name for name, _ in damage]},
    )


def _provide_python(request, session):
    if request.python is not None:
        return use_python(request.python, request.target, session.env, session.log)
    with session.task("unpack Python %s" % request.target.runtime["version"], "runtime"):
        return unpack_runtime(request.bundle, request.target, session.prefix, session.env, session.log)


def _take_over(request, session, before, folder):
    """Packages that the environment in use has already, linked; their names."""
    if before is None or request.reinstall:
        return set()
    with session.task("take over what is unchanged", "take over"):
        return take_over(
            request.target.pins, before.receipt, before.folder, folder, python_version=request.target.python
        )


def fill(request, session, python, clear, taken=frozenset(), replace=False):
    """Install what was not taken over; returns the installer. With `replace`, over what is there.

    When uv fails half-way, `clear` removes what it did, and pip goes on, unless one was asked for.
    """
    installer = find_installer(
        request.bundle,
        request.target,
        python,
        session.prefix.tmp,
        session.env,
        session.log,
        request.installer,
    )
    if installer.kind != UV and request.installer is None and not request.target.present:
        session.console.warn("installing with pip, which is slower: %s" % installer.reason)
    try:
        _run_installer(installer, request, session, python, taken, replace)
    except InstallFailed as error:
        if installer.kind != UV or request.installer is not None:
            raise _with_remedy(error, session) from None
        session.console.warn("uv failed, so pip does it: %s" % str(error).splitlines()[-1].strip())
        clear()
        installer = find_installer(
            request.bundle, request.target, python, session.prefix.tmp, session.env, session.log, PIP
        )
        try:
            _run_installer(installer, request, session, python, taken, replace)
        except InstallFailed as second:
            raise _with_remedy(second, session) from None
    return installer


def _run_installer(installer, request, session, python, taken, replace):
    pins = [pin for pin in request.target.pins if pin.name not in taken]
    title = "install %d packages with %s" % (len(pins), installer.kind)
    title += " (%d taken over)" % len(taken) if taken else ""
    with session.task(title, "install", len(pins)) as task:
        install_packages(installer, request.bundle, pins, python, session, task.advance, replace)


def _with_remedy(error, session):
    """The error of an installer; where another program held a file, with what can be done about that."""
    if is_withheld(str(error)):
        error.hint = (
            "another program held a file, mostly a virus scanner: let it leave %s alone, then run this again"
            % session.prefix.root
        )
    return error


def _clear(request, folder, taken):
    """Remove what an installer has put into a new environment."""
    site = site_packages(folder, request.target.python)
    layout = Layout(site, site, os.path.dirname(environment_python(folder)), folder)
    wheels = [request.bundle.path(pin.wheel) for pin in request.target.pins if pin.name not in taken]
    remove_files(path for wheel in wheels for path in files_of(wheel, layout))
    for wheel in wheels:
        remove_tree(dist_info(wheel, layout))


def list_packages(request, site):
    """Every locked package as the receipt keeps it; raises InstallFailed when one is not in `site`."""
    found = distributions(site)
    check_installed(request.target.pins, {name: one.version for name, one in found.items()})
    return [
        {
            "name": pin.name,
            "version": pin.version,
            "sha256": pin.sha256,
            "wheel": pin.wheel,
            "record_sha256": sha256_of(found[pin.name].record),
        }
        for pin in request.target.pins
    ]


def copy_suite(bundle, folder):
    """Copy the smoke suite and the programs to `folder`: the files that the manifest names, and no others."""
    parts = ("smoke", APPS)
    for part in parts:
        remove_tree(os.path.join(folder, part))
    for name in bundle.files:
        if name.partition("/")[0] in parts:
            destination = os.path.join(folder, *name.split("/"))
            os.makedirs(os.path.dirname(destination), exist_ok=True)
            shutil.copyfile(bundle.path(name), destination)


def put_assets(request, session, folder, before=None):
    """Weights and data below `folder`, and the hook that tells Python where they are; the files written."""
    if not request.bundle.assets:
        return []
    total = sum(request.bundle.files[asset["path"]][0] for asset in request.bundle.assets)
    with session.task("place weights and data (%s)" % human_size(total), "assets", total) as task:
        return place_assets(request.bundle, folder, before.folder if before else None, task.advance)


def make_receipt(request, session, python, installer, packages, results):
    """What an installation was: of what, with what, what it proved and how long it took."""
    return {
        "format": RECEIPT_FORMAT,
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "prefix": session.prefix.root,
        "bundle": {
            "recipe": request.bundle.recipe,
            "release": request.bundle.release,
            "digest": request.bundle.digest,
            "created_by": request.bundle.created_by,
            "signed_by": request.bundle.signed_by,
            "projects": ["%s@%s" % project for project in request.bundle.projects],
        },
        "target": request.target.name,
        "python": python.to_json(),
        "installer": {"kind": installer.kind, "version": installer.version},
        "packages": packages,
        "suite": results,
        "seconds": session.seconds,
        "preflight": [finding.to_json() for finding in request.findings],
        "machine": request.profile,
        "processor": [need.to_json() for need in request.target.processor or ()],
        "present": request.target.present,
    }


def _hand_over(request, prefix, environment):
    """Launchers, the installer itself, and last the pointer."""
    if INSTALLER in request.bundle.files:
        aside = prefix.join(INSTALLER + ".part")
        shutil.copyfile(request.bundle.path(INSTALLER), aside)
        # where a complete environment is taken, the bundle's files have not been hashed
        if sha256_of(aside) != request.bundle.files[INSTALLER][1]:
            os.unlink(aside)
            raise Damaged(
                "%s is not what was packed" % request.bundle.path(INSTALLER),
                hint="copy the bundle again from where it was made",
            )
        replace(aside, prefix.join(INSTALLER))
    write_launchers(prefix)
    current = prefix.current()
    if current is None or current.number != environment.number:
        prefix.switch(environment)


def rollback(prefix, console):
    """Make the other complete environment the one in use; NotPossibleHere when there is none."""
    with prefix.at_work(console) as lock:
        current = prefix.current()
        number = current.number if current else None
        others = [one for one in prefix.environments() if one.receipt and one.number != number]
        if not others:
            raise NotPossibleHere("%s has no other environment to go back to" % prefix.root)
        session = InstallSession(prefix, lock, console)
        status, output = run([others[-1].python, "-c", "pass"], session.env, session.log, held=session.held)
        if status != 0:
            raise NotPossibleHere(
                "the Python of environment %d does not start any more: %s" % (others[-1].number, output),
                hint="install from a bundle again; what is in use stays in use",
            )
        prefix.switch(others[-1])
        return others[-1]


def verify_installed(prefix, levels, console, own=None):
    """Run the suite's levels in the environment in use; returns it and what was seen; raises SmokeFailed.

    Also for people who may only read the prefix: then the results go to the temporary folder. `own` is
    OwnData to prove it with.
    """
    environment = prefix.current()
    if environment is None:
        raise NotPossibleHere("nothing is installed in %s" % prefix.root)
    if own:
        require_support(os.path.join(environment.folder, "smoke"))
        own = locate(own, environment.folder)
    if is_writable(environment.folder):
        with prefix.at_work(console) as lock:
            session = InstallSession(prefix, lock, console)
            return environment, _prove_again(environment, levels, session, own)
    with tempfile.TemporaryDirectory(prefix="wheelferry-") as folder:
        prefix.tmp = folder
        session = InstallSession(prefix, None, console)
        return environment, _prove_again(environment, levels, session, own, out=folder)


def _prove_again(environment, levels, session, own, out=None):
    """As `prove_all`, of what is installed; receipts of older versions say nothing of processors."""
    receipt = environment.receipt
    python = ".".join(receipt["python"]["version"].split(".")[:2])
    require_still_present(receipt.get("present", ()), environment.python)
    needs = [ProcessorNeed(**need) for need in receipt.get("processor", ())]
    # before anything takes its time: the data may have errors
    request = own and hand_in(own, environment.python, session.prefix.join(INSTALLER), session)
    prove_imports(environment.python, site_packages(environment.folder, python), needs, read_cpu(), session)
    return prove(environment.python, environment.folder, levels, session, out=out, own=request)
