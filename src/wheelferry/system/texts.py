"""Text files that the user hands over: recipes, profiles, requirements, records."""

from collections.abc import Callable
from pathlib import Path

from wheelferry.client.common.texts import NotText, decode_text
from wheelferry.errors import InputError


def read_given_text(
    path: Path,
    *,
    kind: str = "",
    hint: str | None = None,
    encoding_of: Callable[[bytes], str] = lambda _: "utf-8",
    remedy: str = "save the file as UTF-8",
) -> str:
    """The text of the file `path`, decoded as its byte order mark says, else as UTF-8.

    `encoding_of` says the encoding of bytes without a mark, where the file may name one itself. Raises
    InputError: with the line and `remedy` for what is no text, with `hint` when the file cannot be read.
    `kind` is what the file should be, as in "recipe ".
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {kind}{path}: {error.strerror}", hint=hint) from None
    try:
        return str(decode_text(data, encoding_of(data)))
    except NotText as error:
        raise InputError(f"{path}:{error.line}: {error}", hint=remedy) from None
