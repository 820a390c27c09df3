"""Licences: what a wheel's metadata says, as an SPDX expression or with the doubt about it."""

from pathlib import Path

import pytest

from conftest import write_wheel
from wheelferry.errors import IntegrityError
from wheelferry.wheels.licences import Terms, judge, licence_files
from wheelferry.wheels.read import read_members, read_terms


@pytest.mark.parametrize(
    ("terms", "expression"),
    [
        (Terms(expression="mit or apache-2.0"), "MIT OR Apache-2.0"),
        (Terms(text="BSD-3-Clause"), "BSD-3-Clause"),
        (Terms(text="3-Clause BSD License"), "BSD-3-Clause"),
        (Terms(text="Apache License, Version 2.0"), "Apache-2.0"),
        (Terms(text="The MIT License (MIT)"), "MIT"),
        (Terms(text="Python Software Foundation License"), "PSF-2.0"),
        (Terms(classifiers=("License :: OSI Approved :: MIT License",)), "MIT"),
        (Terms(text="MIT", classifiers=("License :: OSI Approved :: MIT License",)), "MIT"),
        (Terms(text="BSD-2-Clause", classifiers=("License :: OSI Approved :: BSD License",)), "BSD-2-Clause"),
        (
            Terms(text="Copyright\nlong", classifiers=("License :: OSI Approved :: ISC License (ISCL)",)),
            "ISC",
        ),
        # an expression is the last word, whatever older fields still say
        (Terms(expression="MIT", classifiers=("License :: OSI Approved :: ISC License (ISCL)",)), "MIT"),
    ],
)
def test_a_clear_licence_is_an_spdx_expression(terms: Terms, expression: str) -> None:
    licence = judge(terms)
    assert (licence.expression, licence.doubt) == (expression, "")


@pytest.mark.parametrize(
    ("terms", "doubt"),
    [
        (Terms(), "says nothing of its licence"),
        (Terms(classifiers=("Programming Language :: Python",)), "says nothing of its licence"),
        (Terms(text="UNKNOWN"), "says nothing of its licence"),
        (Terms(text="BSD"), "says only 'BSD', which names more than one licence"),
        (Terms(text="Permission is granted\nto all"), "gives a text instead of a name"),
        (
            Terms(text="MIT", classifiers=("License :: OSI Approved :: ISC License (ISCL)",)),
            "names ISC and MIT, and not whether all or one of them",
        ),
        (Terms(text="MIT", classifiers=("License :: Other/Proprietary License",)), "is proprietary"),
        (Terms(expression="MIT OR nonesuch"), "is not a SPDX expression"),
    ],
)
def test_a_doubt_is_told_and_nothing_is_guessed(terms: Terms, doubt: str) -> None:
    licence = judge(terms)
    assert licence.expression == ""
    assert doubt in licence.doubt


def test_terms_of_ones_own_stay_an_expression_and_a_doubt() -> None:
    licence = judge(Terms(expression="LicenseRef-Acme AND MIT"))
    assert licence.expression == "LicenseRef-Acme AND MIT"
    assert licence.doubt == "has terms of its own (LicenseRef-Acme)"


def test_licence_texts_are_found_where_they_may_lie() -> None:
    info = "a-1.dist-info"
    texts = [
        f"{info}/licenses/vendor/MIT.txt",
        f"{info}/LICENCE.rst",
        f"{info}/AUTHORS",
        f"{info}/legal.txt",
        "a/_vendor/b/COPYING",
        "a/_vendor/b/license-apache.txt",
    ]
    others = [f"{info}/METADATA", "a/license.py", "a/licensing.txt", "a/authors.txt", "a/notice.json"]
    assert licence_files([*texts, *others], info, ["legal.txt"]) == tuple(sorted(texts))


def test_a_wheels_terms_and_texts_are_read(tmp_path: Path) -> None:
    wheel = write_wheel(
        tmp_path,
        "a",
        "1",
        files={"a-1.dist-info/licenses/LICENSE": b"do as you like"},
        metadata_lines=["License-Expression: MIT", "License-File: LICENSE"],
    )
    terms = read_terms(wheel)
    assert terms == Terms(expression="MIT", files=("a-1.dist-info/licenses/LICENSE",))
    assert read_members(wheel, terms.files, limit=100) == {terms.files[0]: b"do as you like"}


def test_a_text_of_unlikely_size_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "a", "1", files={"a/LICENSE": b"x" * 101})
    with pytest.raises(IntegrityError, match="a/LICENSE has 101 bytes"):
        read_members(wheel, ["a/LICENSE"], limit=100)


def test_what_is_no_wheel_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a-1-py3-none-any.whl"
    path.write_bytes(b"nothing")
    with pytest.raises(IntegrityError, match="not a readable wheel"):
        read_terms(path)
    with pytest.raises(IntegrityError, match="not a readable wheel"):
        read_members(path, ["x"], limit=1)
