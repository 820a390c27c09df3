"""Text of users: what editors and shells write is read, what is no text is told with its line."""

import codecs
from pathlib import Path

import pytest

from wheelferry.client.common.texts import NotText, decode_text
from wheelferry.errors import InputError
from wheelferry.system.texts import read_given_text

TEXT = "größer\r\n\U0001f6f6\n"
MARKED = [
    TEXT.encode(),
    codecs.BOM_UTF8 + TEXT.encode(),
    codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
]


@pytest.mark.parametrize("data", MARKED)
def test_the_mark_says_the_encoding(data: bytes) -> None:
    assert decode_text(data) == TEXT


def test_a_mark_outweighs_what_the_file_says() -> None:
    assert decode_text(codecs.BOM_UTF8 + TEXT.encode(), "latin-1") == TEXT
    assert decode_text("größer".encode("latin-1"), "latin-1") == "größer"


@pytest.mark.parametrize(
    ("data", "encoding", "line", "said"),
    [
        (b"a\nb\ngr\xf6\xdfer\n", "utf-8", 3, "the byte 0xf6 cannot be read as UTF-8"),
        (codecs.BOM_UTF16_LE + b"a\0\n\0b", "utf-8", 2, "the byte 0x62 cannot be read as UTF-16-LE"),
        ("a\nb\n".encode("utf-16-le"), "utf-8", 1, "NUL"),
        (b"a\n\nb\0c", "utf-8", 3, "NUL"),
        (b"a\n", "klingon", 1, "encoding 'klingon'"),
        (b"a\n", "hex", 1, "encoding 'hex'"),
        (b"\x89PNG\r\n\x1a\n\0\0", "utf-8", 1, "0x89"),
    ],
)
def test_what_is_no_text_is_told_with_its_line(data: bytes, encoding: str, line: int, said: str) -> None:
    with pytest.raises(NotText, match=said) as caught:
        decode_text(data, encoding)
    assert caught.value.line == line


def test_a_file_is_named_and_what_to_do_with_it(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    with pytest.raises(InputError, match=r"cannot read recipe .*my\.toml: No such file"):
        read_given_text(path, kind="recipe ")
    path.write_bytes(b"a\n\xff")
    with pytest.raises(InputError, match=r"my\.toml:2: the byte 0xff") as caught:
        read_given_text(path)
    assert caught.value.hint == "save the file as UTF-8"
