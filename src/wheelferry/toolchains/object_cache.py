"""Compiled C++ files by content: an equal file against equal headers is compiled once, whoever asks for it.

Stands in for the compiler while a project is built: ``CXX`` names a script that starts this module. A
source is preprocessed; the text, the options and the compiler are hashed; and what is compiled, when the
store has no object for that hash, is this very text. So an object from the store is what the compiler would
make of its input now. The folders that ``-ffile-prefix-map`` names are taken out of the text first: they
differ from run to run. Whatever is not a plain compilation of one C++ file, or does not compile like that,
goes to the compiler as it came.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from wheelferry.cache.store import Store

_SOURCES = (".cpp", ".cc", ".cxx")
# Options whose effect ends with preprocessing; the first take a word of their own where nothing is attached.
_WITH_WORD = ("-I", "-isystem", "-iquote", "-idirafter", "-include", "-D", "-U", "-MF", "-MT", "-MQ")
_ALONE = ("-MMD", "-MD", "-MP", "-ffile-prefix-map=", "-fmacro-prefix-map=", "-fdebug-prefix-map=")
# Options by which the compiler reads or writes other files than source and object, or does not compile.
_FOREIGN = (
    "@", "-E", "-S", "-fsyntax-only", "-M", "-MM", "-save-temps", "-fprofile", "-fauto-profile", "--coverage",
    "-ftest-coverage", "-fdump", "-fplugin", "-specs", "-wrapper", "-x", "-gsplit", "-fmodules", "-flto",
    "-imacros", "-B", "--param=", "-fcallgraph-info", "-fstack-usage", "-Wp,", "-Wa,", "-Xpreprocessor",
    "-Xassembler", "-###", "-march=native", "-mtune=native",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The real compiler, all of it that its results depend on, and the root of the store.

    `preprocessed` is what it calls the language of a preprocessed C++ file (``-x``).
    """

    compiler: str
    identity: str
    store: str
    preprocessed: str = "c++-cpp-output"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compilation:
    """One C++ file to compile: the options of its preprocessing, those of the compiler proper, the result."""

    source: str
    out: str
    preprocess: tuple[str, ...]
    options: tuple[str, ...]


def write_compiler(folder: Path, compiler: Path, store: Store, *, zig: str | None = None) -> Path:
    """A compiler that looks into `store` first, as a script in the new folder `folder`; its path.

    `zig` is the hash of the package that a compiler is from which does not tell of which programs it
    consists; it takes preprocessed text as any other, whose lines have nothing left to replace.
    """
    settings = Settings(compiler=str(compiler), identity=zig or identify(compiler), store=str(store.root))
    if zig:
        settings = replace(settings, preprocessed="c++")
    folder.mkdir()
    file, script = folder / "settings.json", folder / compiler.name
    file.write_text(json.dumps(asdict(settings)), "utf-8")
    command = shlex.join([sys.executable, "-I", "-m", __name__, str(file)])
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
    script.chmod(0o755)
    return script


def identify(compiler: Path) -> str:
    """The hash of the compiler's programs: the name of its version does not tell two builds of it apart."""
    digest = hashlib.sha256()
    for name in ("", "cc1plus", "as"):
        command = [str(compiler), f"-print-prog-name={name}"]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        program = shutil.which(found if name and found else str(compiler))
        digest.update(Path(program).read_bytes() if program else b"?")
    return digest.hexdigest()


def read_arguments(arguments: Sequence[str]) -> Compilation | None:
    """What a compiler is asked for; None for anything but the plain compilation of one C++ file."""
    preprocess: list[str] = []
    options: list[str] = []
    sources: list[str] = []
    out = ""
    compiles = debugs = False
    words = iter(arguments)
    for word in words:
        if word == "-c":
            compiles = True
        elif word == "-o":
            out = next(words, "")
        elif word in _WITH_WORD:
            preprocess += [word, next(words, "")]
        elif word.startswith((*_WITH_WORD, *_ALONE)):
            preprocess.append(word)
        elif word.startswith("-g") and not word.startswith("-gnu"):
            debugs = word != "-g0"
            options.append(word)
        elif word == "-" or word.startswith(_FOREIGN):
            return None
        elif word.endswith(_SOURCES) and not word.startswith("-"):
            sources.append(word)
        elif word.startswith("-"):
            options.append(word)
        else:
            return None
    if not compiles or debugs or not out or len(sources) != 1:
        return None
    return Compilation(source=sources[0], out=out, preprocess=tuple(preprocess), options=tuple(options))


def object_key(settings: Settings, options: Sequence[str], text: bytes) -> str:
    """The name of the object that the compiler makes of a preprocessed text with these options."""
    head = json.dumps([1, settings.compiler, settings.identity, list(options)])
    return hashlib.sha256(head.encode() + b"\0" + text).hexdigest()


def compile_cached(settings: Settings, wanted: Compilation) -> bool:
    """Make the object, from the store or by the compiler; False when that did not work."""
    text = _preprocessed(settings, wanted)
    if text is None:
        return False
    key = object_key(settings, wanted.options, text)
    store, out = Store(Path(settings.store)), Path(wanted.out)
    known = store.recall("object", key)
    if known is not None:
        shutil.copyfile(store.path(known.sha256), out)
        return True
    how = ["-x", settings.preprocessed, "-c", "-", "-o", wanted.out]
    command = [settings.compiler, *wanted.options, *how]
    done = subprocess.run(command, input=text, capture_output=True, check=False)
    if done.returncode != 0:
        return False  # the compiler explains it better when it sees the file itself
    sys.stderr.buffer.write(done.stderr)
    _keep(out, key, store)
    return True


def _keep(out: Path, key: str, store: Store) -> None:
    """Put a copy of the object into the store; where that cannot be written, say so and go on."""
    copy = out.with_name(f"{out.name}.{os.getpid()}.kept")
    try:
        shutil.copyfile(out, copy)
        store.remember("object", key, store.add(copy))
    except OSError as error:
        sys.stderr.write(f"{out.name} is not kept for the next build: {error}\n")


def _preprocessed(settings: Settings, wanted: Compilation) -> bytes | None:
    """The text that the compiler proper reads, without the folders of this build; None when it fails.

    The list of headers that ninja asks for is written on the way.
    """
    target = [] if "-MT" in wanted.preprocess or "-MQ" in wanted.preprocess else ["-MT", wanted.out]
    depends = target if any(word in ("-MMD", "-MD") for word in wanted.preprocess) else []
    command = [settings.compiler, *wanted.options, *wanted.preprocess, *depends, "-E", wanted.source]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        return None
    text = done.stdout
    for word in wanted.preprocess:
        option, _, pair = word.partition("=")
        folder, _, name = pair.rpartition("=")
        if option == "-ffile-prefix-map":
            text = text.replace(f"{folder}/".encode(), f"{name}/".encode())
    return text


def main(arguments: list[str]) -> int:
    """``SETTINGS ARGUMENTS…``: the command line of the compiler that this stands in for."""
    settings = Settings(**json.loads(Path(arguments[0]).read_text("utf-8")))
    wanted = read_arguments(arguments[1:])
    if wanted is None or not compile_cached(settings, wanted):
        os.execv(settings.compiler, [settings.compiler, *arguments[1:]])  # noqa: S606
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
