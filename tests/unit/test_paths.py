"""Names of files that travel: what no system may have, or not every one."""

import pytest

from wheelferry.client.common.paths import find_faults


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "wheelhouse/x-1.0+cpu-py3-none-any.whl",
        "ä/日本.txt",
        "console.log",
        "com10",
        "a b",
        "..a",
        ".hidden",
    ],
)
def test_a_name_that_every_system_can_have(name: str) -> None:
    assert find_faults([name]) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "leads out"),
        ("/etc/passwd", "leads out"),
        ("../x", "leads out"),
        ("a/../x", "leads out"),
        ("a/./x", "leads out"),
        ("a//x", "leads out"),
        ("a/", "leads out"),
        ("c:/x", "signs"),
        ("a\\x", "signs"),
        ("a/b:stream", "signs"),
        ("a\0b", "signs"),
        ("a\nb", "signs"),
        ("what?", "signs"),
        ("nul", "device"),
        ("a/CON.txt", "device"),
        ("com1 .txt", "device"),
        ("LPT¹", "device"),
        ("a.", "dot or a blank"),
        ("a /b", "dot or a blank"),
        ("ü" * 128, "too long"),
        ("\udcff", "not Unicode"),
    ],
)
def test_a_name_that_is_refused(name: str, said: str) -> None:
    (fault,) = find_faults(["fine", name])
    assert said in fault


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/b", "a/b"], "twice"),
        (["a/b", "A/b"], "which not every file system tells apart"),
        (["A/x", "a/y"], "which not every file system tells apart"),
        (["stra\u00dfe", "STRASSE"], "which not every file system tells apart"),
        (["\u00e4", "a\u0308"], "which not every file system tells apart"),
        (["a", "a/b"], "folder as well"),
        (["a/b", "a"], "folder as well"),
    ],
)
def test_names_that_cannot_be_beside_one_another(names: list[str], said: str) -> None:
    (fault,) = find_faults(names)
    assert said in fault
