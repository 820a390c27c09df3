"""Which command lines are compilations whose result depends on text and options alone."""

from pathlib import Path

import pytest

from wheelferry.toolchains.object_cache import Compilation, Settings, object_key, read_arguments

PLAIN = ["-O3", "-g0", "-Wall", "-fPIC", "-Iinclude", "-isystem", "torch", "-DA=1", "-D", "B", "-std=c++20"]
SOURCE = ["-c", "csrc/nms.cpp", "-o", "build/nms.o"]
SETTINGS = Settings(compiler="/usr/bin/g++", identity="12", store="store")


def test_what_ends_with_preprocessing_is_told_from_what_compiles() -> None:
    depends = ["-MMD", "-MF", "build/nms.o.d"]
    folders = ["-ffile-prefix-map=/tmp/x=source"]
    assert read_arguments([*depends, *PLAIN, *folders, *SOURCE]) == Compilation(
        source="csrc/nms.cpp",
        out="build/nms.o",
        preprocess=(*depends, "-Iinclude", "-isystem", "torch", "-DA=1", "-D", "B", *folders),
        options=("-O3", "-g0", "-Wall", "-fPIC", "-std=c++20"),
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["-shared", "build/nms.o", "-o", "_C.so"],
        ["--version"],
        ["-dumpfullversion", "-dumpversion"],
        [*PLAIN, "-c", "csrc/nms.cpp"],
        [*PLAIN, "-c", "a.cpp", "b.cpp", "-o", "c.o"],
        [*PLAIN, "-c", "a.c", "-o", "c.o"],
        [*PLAIN, "-E", *SOURCE],
        [*PLAIN, "-x", "c++", *SOURCE],
        ["@options", *SOURCE],
        [*PLAIN, "--coverage", *SOURCE],
        [*PLAIN, "-fprofile-use=x", *SOURCE],
        [*PLAIN, "-march=native", *SOURCE],
        [*PLAIN, "-g", *SOURCE],
        [*PLAIN, "-ggdb3", *SOURCE],
        [*PLAIN, "-c", "-", "-o", "c.o"],
    ],
)
def test_all_else_is_left_to_the_compiler(arguments: list[str]) -> None:
    assert read_arguments(arguments) is None


def test_the_last_word_on_debugging_counts() -> None:
    assert read_arguments(["-g", "-g0", *SOURCE]) is not None
    assert read_arguments(["-g0", "-g", *SOURCE]) is None


@pytest.mark.parametrize(
    ("settings", "options", "text"),
    [
        (Settings(compiler="/usr/bin/g++", identity="13", store="store"), ("-O3",), b"int a;"),
        (Settings(compiler="/opt/g++", identity="12", store="store"), ("-O3",), b"int a;"),
        (SETTINGS, ("-O2",), b"int a;"),
        (SETTINGS, ("-O3", "-O3"), b"int a;"),
        (SETTINGS, ("-O3",), b"int a; "),
    ],
)
def test_whatever_changes_gives_another_key(
    settings: Settings, options: tuple[str, ...], text: bytes
) -> None:
    assert object_key(settings, options, text) != object_key(SETTINGS, ("-O3",), b"int a;")


def test_where_the_store_is_does_not_matter() -> None:
    elsewhere = Settings(compiler="/usr/bin/g++", identity="12", store=str(Path("elsewhere")))
    assert object_key(elsewhere, (), b"") == object_key(SETTINGS, (), b"")
