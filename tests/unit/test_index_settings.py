"""Settings of pip that cannot be: told at once, with the variable or option that says them."""

from pathlib import Path

import pytest

from wheelferry.cache.pip_config import IndexSettings, check_settings, index_in_words
from wheelferry.errors import InputError


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://a/b", "https:///simple", "https://[x/simple", "pypi.org/simple"]
)
def test_an_index_that_is_no_address_is_named_with_its_variable(url: str) -> None:
    with pytest.raises(InputError, match="PIP_INDEX_URL is no address of a package index") as caught:
        check_settings(IndexSettings(index_url=url), {"PIP_INDEX_URL": url})
    assert caught.value.hint == "write it as in https://pypi.org/simple"


def test_an_option_of_pips_files_is_named_as_such() -> None:
    with pytest.raises(InputError, match="extra-index-url in pip's configuration is no address"):
        check_settings(IndexSettings(extra_index_urls=("https://pypi.org/simple", "nonsense")), {})


def test_what_is_secret_is_not_repeated() -> None:
    with pytest.raises(InputError) as caught:
        check_settings(IndexSettings(index_url="ftp://me:secret@a/b"), {})
    assert "secret" not in str(caught.value)


def test_uvs_own_variable_counts_where_pip_says_nothing() -> None:
    with pytest.raises(InputError, match="UV_INDEX_URL"):
        check_settings(IndexSettings(), {"UV_INDEX_URL": "nonsense"})
    check_settings(IndexSettings(index_url="https://pypi.org/simple"), {"UV_INDEX_URL": "nonsense"})


@pytest.mark.parametrize("variable", ["PIP_CERT", "REQUESTS_CA_BUNDLE"])
def test_certificates_that_are_not_there(variable: str, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.pem")
    settings = IndexSettings(cert=absent if variable == "PIP_CERT" else None)
    with pytest.raises(InputError, match=f"{variable} names {absent}, which does not exist"):
        check_settings(settings, {variable: absent})


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    settings = IndexSettings(cert=str(tmp_path / "a"), client_cert=str(tmp_path / "b"))
    with pytest.raises(InputError) as caught:
        check_settings(settings, {})
    assert len(str(caught.value).splitlines()) == 2


def test_sound_settings_pass(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    settings = IndexSettings(
        index_url=str(tmp_path),
        extra_index_urls=("file:///srv/index", "http://10.0.0.1:8080/simple/"),
        cert=str(tmp_path / "ca.pem"),
    )
    check_settings(settings, {"REQUESTS_CA_BUNDLE": "/absent"})


def test_the_index_in_words() -> None:
    assert index_in_words(IndexSettings(index_url="https://me:secret@a/simple"), {"PIP_INDEX_URL": "x"}) == (
        "https://a/simple (PIP_INDEX_URL)"
    )
    assert index_in_words(IndexSettings(), {}) == "https://pypi.org/simple (nothing names another)"
