"""Text that a person hands over, in the encoding that his editor or shell wrote it in."""

import codecs

# A mark of UTF-32 begins as one of UTF-16 does, so it comes first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class NotText(ValueError):
    """Bytes that cannot be read as text; `line` is where, counted from 1."""

    def __init__(self, message, line):
        super().__init__(message)
        self.line = line


def decode_text(data, encoding="utf-8"):
    """The text that the bytes `data` are: as their byte order mark says, without one in `encoding`.

    PowerShell's `>` writes UTF-16 and Notepad UTF-8, both with a mark. Raises NotText for other bytes, and
    for NUL characters: text in UTF-16 without a mark is full of them, and no path and no address has one.
    """
    for mark, marked in _MARKS:
        if data.startswith(mark):
            data, encoding = data[len(mark) :], marked
            break
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, "replace")
        message = "the byte 0x%02x cannot be read as %s" % (data[error.start], encoding.upper())
        raise NotText(message, before.count("\n") + 1) from None
    except (LookupError, UnicodeError):
        raise NotText("it cannot be read in the encoding %r" % encoding, 1) from None
    if "\0" in text:
        raise NotText("there is a NUL character", text[: text.index("\0")].count("\n") + 1)
    return text
