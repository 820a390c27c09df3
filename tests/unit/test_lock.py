"""Locks: choosing files from a resolution, and reading back what is written."""

from pathlib import Path

import pytest
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from conftest import TARGET
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.lock import (
    Lock,
    LockedWheel,
    choices_from_json,
    choices_to_json,
    choose_files,
    parse_pylock,
    parse_requirements,
    pylock_text,
    require_allowed,
    requirements_text,
)

HEAD = 'lock-version = "1.0"\ncreated-by = "uv"\n'


def package(name: str, *wheels: str, sdist: str = "", marker: str = "") -> str:
    files = ", ".join(
        f'{{ url = "https://files.example/{w}", hashes = {{ sha256 = "{w[0] * 64}" }} }}' for w in wheels
    )
    text = f'[[packages]]\nname = "{name}"\nversion = "1.0"\n'
    text += f'marker = "{marker}"\n' if marker else ""
    if sdist:
        text += f'sdist = {{ url = "https://files.example/{sdist}", hashes = {{ sha256 = "{"5" * 64}" }} }}\n'
    return text + (f"wheels = [{files}]\n" if wheels else "")


def choose(*packages: str) -> dict[str, str]:
    return {c.name: c.filename for c in choose_files(HEAD + "".join(packages), TARGET, base=Path("/base"))}


def test_the_most_specific_wheel_wins() -> None:
    wheels = (
        "a-1.0-py3-none-any.whl",
        "a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        "a-1.0-cp311-cp311-win_amd64.whl",
    )
    assert choose(package("a", *wheels)) == {"a": "a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"}


def test_an_sdist_is_chosen_only_where_no_wheel_fits() -> None:
    chosen = choose(
        package("a", "a-1.0-cp311-cp311-win_amd64.whl", sdist="a-1.0.tar.gz"),
        package("b", "b-1.0-py3-none-any.whl", sdist="b-1.0.tar.gz"),
    )
    assert chosen == {"a": "a-1.0.tar.gz", "b": "b-1.0-py3-none-any.whl"}


def test_markers_are_those_of_the_target() -> None:
    assert (
        choose(package("colorama", "colorama-1.0-py3-none-any.whl", marker="sys_platform == 'win32'")) == {}
    )


def test_what_fits_nowhere_is_named_all_at_once() -> None:
    with pytest.raises(InputError) as caught:
        choose(package("a", "a-1.0-cp311-cp311-win_amd64.whl"), package("b", "b-1.0-cp39-cp39-win_amd64.whl"))
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["a", "b"]


def test_a_relative_path_counts_from_the_base(tmp_path: Path) -> None:
    wheel = '{ path = "w/a-1.0-py3-none-any.whl", hashes = { sha256 = "aa" } }'
    text = HEAD + f'[[packages]]\nname = "a"\nversion = "1.0"\nwheels = [{wheel}]\n'
    (choice,) = choose_files(text, TARGET, base=tmp_path)
    assert choice.url == (tmp_path / "w" / "a-1.0-py3-none-any.whl").as_uri()


def allowed(digit: str) -> dict[NormalizedName, frozenset[str]]:
    return {canonicalize_name("a"): frozenset({digit * 64})}


def test_a_file_with_a_hash_that_is_not_allowed_does_not_count() -> None:
    """The synthesised hashes are the first letter of the file, 64 times, and 5 for an sdist."""
    text = (
        HEAD
        + package("a", "a-1.0-py3-none-any.whl", sdist="a-1.0.tar.gz")
        + package("b", "b-1-py3-none-any.whl")
    )
    assert [c.is_sdist for c in choose_files(text, TARGET, base=Path("/"), allowed=allowed("a"))] == [
        False,
        False,
    ]
    assert [c.is_sdist for c in choose_files(text, TARGET, base=Path("/"), allowed=allowed("5"))] == [
        True,
        False,
    ]
    with pytest.raises(IntegrityError, match=r"has one of the given hashes: a 1\.0$"):
        choose_files(text, TARGET, base=Path("/"), allowed=allowed("0"))


def test_a_file_whose_hash_is_not_said_is_compared_when_it_is_here() -> None:
    text = HEAD + package("a", "a-1.0-py3-none-any.whl").replace("sha256", "md5")
    (choice,) = choose_files(text, TARGET, base=Path("/"), allowed=allowed("0"))
    require_allowed(choice, "0" * 64, allowed("0"))
    require_allowed(choice, "1" * 64, {})
    with pytest.raises(IntegrityError, match=r"a-1\.0-py3-none-any\.whl has the SHA-256 1{64}"):
        require_allowed(choice, "1" * 64, allowed("0"))


def test_something_else_than_a_pylock_is_an_integrity_error() -> None:
    with pytest.raises(IntegrityError, match="not a valid pylock"):
        choose_files('created-by = "nobody"\n', TARGET, base=Path("/"))


def a_lock() -> Lock:
    wheel = LockedWheel(
        name=canonicalize_name("Tiny"),
        version=Version("1.0+pt2.13.0cpu"),
        filename="tiny-1.0+pt2.13.0cpu-cp311-cp311-manylinux_2_17_x86_64.whl",
        sha256="a" * 64,
        size=7,
        origin="here",
    )
    return Lock(target=TARGET, wheels=(wheel,))


def test_requirements_read_back() -> None:
    assert parse_requirements(requirements_text(a_lock())) == {"tiny": (Version("1.0+pt2.13.0cpu"), "a" * 64)}


def test_pylock_reads_back_with_a_path_in_the_bundle() -> None:
    text = pylock_text(a_lock(), created_by="tests")
    path = "wheelhouse/tiny-1.0+pt2.13.0cpu-cp311-cp311-manylinux_2_17_x86_64.whl"
    assert parse_pylock(text) == {"tiny": (Version("1.0+pt2.13.0cpu"), path, "a" * 64)}


@pytest.mark.parametrize(
    "text", ["tiny>=1.0\n", "tiny==1.0\n", "tiny==one --hash=sha256:aa\n", "-r other.txt\n"]
)
def test_a_foreign_requirements_file_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_requirements(text)


def test_a_wheel_is_found_by_any_spelling_of_its_name() -> None:
    assert a_lock().wheel("TINY").size == 7
    with pytest.raises(KeyError):
        a_lock().wheel("torch")


def test_choices_read_back() -> None:
    text = HEAD + package("a", "a-1.0-py3-none-any.whl")
    choices = choose_files(text, TARGET, base=Path("/base"))
    assert choices_from_json(choices_to_json(choices)) == choices
    assert choices_from_json('[{"name": "a"}]') == ()
    assert choices_from_json("not JSON") == ()
