"""The first import of each compiled package, in a process of its own, so that a death there is explained.

One process imports them one after another; where it dies, the next one goes on behind the module that died.
"""

import os
import re

from wheelferry.client.common.deaths import cause_of, explain, innermost_file
from wheelferry.client.common.errors import SmokeFailed
from wheelferry.client.common.processes import run
from wheelferry.client.installer.distributions import distribution_name, distributions

_COMPILED = re.compile(r"\.(?:so|pyd|dll)(?:\.[\d.]+)?$", re.IGNORECASE)

# Says, flushed, which binary Python loads next ("@+"), and which is loaded ("@-"): a death comes between.
# What the system does with a dying program faulthandler tells, with the lines of Python that led there.
TELL_BINARIES = """
import faulthandler, sys
from importlib.machinery import ExtensionFileLoader
faulthandler.enable(sys.stdout)
def telling(step, sign):
    def tells(self, given):
        if sign == "+":
            print("\\n@+" + self.path, flush=True)
        result = step(self, given)
        if sign == "-":
            print("\\n@-" + self.path, flush=True)
        return result
    return tells
ExtensionFileLoader.create_module = telling(ExtensionFileLoader.create_module, "+")
ExtensionFileLoader.exec_module = telling(ExtensionFileLoader.exec_module, "-")
"""

# What cannot be imported for another reason than a death is left to the suite: it knows what has to work.
_IMPORT = (
    TELL_BINARIES
    + """
import importlib, os
for name in sys.argv[1:]:
    print("\\n@>" + name, flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        print("%s: %s" % (type(error).__name__, error), flush=True)
sys.stdout.flush()
os._exit(0)
"""
)


class Compiled(object):
    """The compiled packages in a folder of packages: `modules` to import, and whose each file is.

    Where all compiled parts of a distribution are private (``_polars_runtime_32``), what requires it is
    imported.
    """

    def __init__(self, site):
        self.modules = {}  # type: dict[str, str]
        self._owners = {}  # type: dict[str, str]
        found = distributions(site)
        importing = {}  # type: dict[str, list[str]]
        private = []
        for name, one in found.items():
            paths = [row[0].replace("\\", "/") for row in one.rows()] if os.path.isfile(one.record) else []
            self._owners.update((path, name) for path in paths)
            importing[name] = compiled_modules(paths) or top_packages(paths)
            if any(map(_COMPILED.search, paths)):
                self.modules.update((module, name) for module in importing[name])
                private += [] if importing[name] else [name]
        for name, one in found.items() if private else ():
            if not set(private).isdisjoint(_required(one)):
                self.modules.update((module, name) for module in importing[name])

    def owner(self, path):
        """The distribution of the file `path`, relative to the folder or absolute; None if it is nobody's."""
        parts = path.replace("\\", "/").split("/")
        tails = ("/".join(parts[number:]) for number in range(len(parts)))
        return next((self._owners[tail] for tail in tails if tail in self._owners), None)


def top_packages(paths):
    """The public packages at the top among files relative to site-packages."""
    tops = [
        path.partition("/")[0] for path in paths if path.endswith("/__init__.py") and path.count("/") == 1
    ]
    return [name for name in tops if name.isidentifier() and not name.startswith("_")]


def _required(distribution):
    """The names of what a distribution requires, whatever the condition."""
    try:
        with open(
            os.path.join(distribution.folder, "METADATA"), encoding="utf-8", errors="replace"
        ) as stream:
            text = stream.read().partition("\n\n")[0]
    except OSError:
        return []
    names = re.findall(r"^Requires-Dist:\s*([A-Za-z0-9._-]+)", text, re.MULTILINE)
    return [distribution_name(name) for name in names]


def compiled_modules(paths):
    """The packages and modules at the top among files relative to site-packages that have compiled parts.

    Without private ones (``_x``), which the package that they are for imports.
    """
    known = set(paths)
    found = []
    for path in paths:
        top, below, _ = path.partition("/")
        if not _COMPILED.search(path):
            continue
        module = top if below else top.split(".")[0]
        is_module = top + "/__init__.py" in known if below else top.lower().endswith((".so", ".pyd"))
        if is_module and module.isidentifier() and not module.startswith("_") and module not in found:
            found.append(module)
    return found


def prove_imports(python, site, needs, cpu, session):
    """Import each compiled package in `site` with `python`; raises SmokeFailed that explains each death.

    `needs` are those of the target's packages of a processor, `cpu` is that of this machine.
    """
    compiled = Compiled(site)
    left, deaths = sorted(compiled.modules), []
    with session.task("import the compiled packages", "imports", len(left)) as task:
        while left:
            status, output = _import(python, left, session, task)
            tried = re.findall(r"^@>(.*)$", output, re.MULTILINE)
            if status == 0 or not tried or tried[-1] not in left:
                break  # a Python that does not start is met, and told, by the suite
            if len(tried) > 1:  # where another was imported before, it may be the two together
                status, output = _import(python, tried[-1:], session, task)
            if status != 0:
                deaths.append(explain_import(tried[-1], status, output, compiled, needs, cpu, session.env))
            left = left[left.index(tried[-1]) + 1 :]
    if deaths:
        raise SmokeFailed(
            "packages that do not run on this machine:\n%s" % "\n".join("  %s" % one for one in deaths),
            hint="--verify none installs all the same, for what works without them; the whole output is in %s"
            % session.prefix.log,
        )


def _import(python, modules, session, task):
    """The exit status and the output of a process that imports the modules."""

    def listen(line):
        if line.startswith("@>"):
            task.advance()

    command = [python, "-c", _IMPORT, *modules]
    return run(command, session.env, session.log, cwd=session.prefix.tmp, on_line=listen, held=session.held)


def explain_import(module, status, output, compiled, needs, cpu, environ):
    """One sentence about the import of `module`, which ended its Python with `status`."""
    library = loading(output)
    place = library or innermost_file(output)
    package = (compiled.owner(place) if place else None) or compiled.modules.get(module)
    who = "import %s" % module
    if library:
        who += " (%s of %s)" % (os.path.basename(library.replace("\\", "/")), package)
    elif package and package != compiled.modules.get(module, package):
        who += " (in %s)" % package
    cause = cause_of(status)
    if cause is None:
        return "%s ended Python with exit status %d" % (who, status)
    return explain(cause, who, package, needs, cpu, environ)


def loading(output):
    """The binary that was being loaded at the end of what `TELL_BINARIES` said; None when none was."""
    under_way = []  # type: list[str]
    for sign, path in re.findall(r"^@([+-])(.*)$", output, re.MULTILINE):
        path = path.strip()
        if sign == "+":
            under_way.append(path)
        elif path in under_way:
            del under_way[under_way.index(path) :]
    return under_way[-1] if under_way else None
