"""Packages that install the same module: the shipped table, the warnings, and what is left out."""

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from wheelferry.catalog import shipped_alternatives
from wheelferry.errors import InputError
from wheelferry.models.planning.alternatives import Exclusion, exclusions, warnings

TABLE = shipped_alternatives()


def names(*texts: str) -> list[NormalizedName]:
    return [canonicalize_name(text) for text in texts]


def test_the_table_names_each_package_once_and_says_where_it_was_seen() -> None:
    packages = [name for alternatives in TABLE for name in alternatives.packages]
    assert len(packages) == len(set(packages))
    assert len({alternatives.module for alternatives in TABLE}) == len(TABLE)
    assert all(len(alternatives.packages) > 1 and alternatives.source for alternatives in TABLE)


def test_packages_that_install_the_same_module_are_told() -> None:
    (message,) = warnings(TABLE, names("numpy", "opencv-python-headless", "OpenCV_Python", "pillow"))
    assert message.startswith("opencv-python and opencv-python-headless install the same module, cv2: ")
    assert message.endswith("Keep one, as in --prefer opencv-python")


def test_one_of_each_is_fine() -> None:
    firsts = [alternatives.packages[0] for alternatives in TABLE]
    assert list(warnings(TABLE, firsts)) == []


def test_three_and_more_are_one_message() -> None:
    onnx = next(alternatives for alternatives in TABLE if alternatives.module == "onnxruntime")
    (message,) = warnings(TABLE, onnx.packages)
    assert " and ".join(onnx.packages) in message


def test_what_is_excluded_and_what_gives_way() -> None:
    assert exclusions(TABLE, ["Some_Package"], ["pillow_SIMD"]) == (
        Exclusion(name=canonicalize_name("some-package")),
        Exclusion(name=canonicalize_name("pillow"), instead=canonicalize_name("pillow-simd")),
    )


def test_nothing_gives_way_to_a_package_without_alternatives() -> None:
    with pytest.raises(InputError, match="--prefer numpy: no alternative to it is known"):
        exclusions(TABLE, [], ["numpy"])
