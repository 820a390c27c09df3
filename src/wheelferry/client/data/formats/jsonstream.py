"""JSON files larger than memory: the members of the outermost object, one after the other."""

import codecs
import json

_PIECE = 1 << 20  # characters
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BLANKS = " \t\r\n"
_LONGEST_WORD = 16  # of a number or a word such as -Infinity that the end of a piece may cut


class NotJson(ValueError):
    """What cannot be read as JSON; `line` is where, counted from 1."""

    def __init__(self, message, line):
        super().__init__(message)
        self.line = line


def encoding_of(path):
    """The encoding of a text file by its byte order mark; utf-8 without one."""
    with open(path, "rb") as stream:
        start = stream.read(4)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    return "utf-8"


def members(path, wanted=None):
    """Yield (key, place, value) for the outermost object of the JSON file `path`.

    Of an array each element is yielded by itself, with its place, so that only one is in memory; of any
    other value `place` is None. Arrays begin with (key, None, []). Those of no key in `wanted` are read
    over. Raises NotJson, and OSError as files do.
    """
    with open(path, encoding=encoding_of(path)) as stream:
        text = _Text(stream)
        try:
            for found in _members(text, wanted):
                yield found
        except (UnicodeError, RecursionError) as error:
            raise NotJson("it cannot be read: %s" % error, text.line()) from None


def _members(text, wanted):
    text.expect("{", "it is no JSON object")
    if text.take("}"):
        return
    while True:
        key = text.value()
        if not isinstance(key, str):
            raise NotJson("a key is no text", text.line())
        text.expect(":", "there is no colon after a key")
        if text.take("["):
            yield key, None, []
            for place, element in enumerate(_elements(text)):
                if wanted is None or key in wanted:
                    yield key, place, element
        else:
            yield key, None, text.value()
        if text.take("}"):
            break
        text.expect(",", "there is no comma after a value")
    if text.peek():
        raise NotJson("there is something after its end", text.line())


def _elements(text):
    if text.take("]"):
        return
    while True:
        yield text.value()
        if text.take("]"):
            return
        text.expect(",", "there is no comma after an element")


class _Text(object):
    """The part of the file that is in memory, and the place in it."""

    def __init__(self, stream):
        self._stream = stream
        self._text = ""
        self._at = 0
        self._lines = 0  # before what is in memory
        self._ended = False
        self._decoder = json.JSONDecoder()

    def line(self, further=0):
        """The line of the place in the file, counted from 1."""
        return self._lines + self._text.count("\n", 0, self._at + further) + 1

    def peek(self):
        """The next character that is no blank; nothing at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANKS:
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, sign):
        """Whether `sign` is next; if so it is passed over."""
        if self.peek() != sign:
            return False
        self._at += 1
        return True

    def expect(self, sign, otherwise):
        """Pass over `sign`; NotJson with the text `otherwise` when something else is next."""
        if not self.take(sign):
            raise NotJson(otherwise if self.peek() else "it ends too early", self.line())

    def value(self):
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _LONGEST_WORD
                if cut and self._more():
                    continue
                line = self.line(error.pos - self._at)
                ended = error.msg.startswith("Unterminated") or not self._text[error.pos :].strip()
                raise NotJson("it ends too early" if ended else error.msg, line) from None
            except ValueError as error:  # a number of thousands of digits
                raise NotJson(str(error), self.line()) from None
            if end + _LONGEST_WORD < len(self._text) or not self._more():
                self._at = end
                return value

    def _more(self):
        """Read more, as much again as is there; False at the end of the file."""
        piece = "" if self._ended else self._stream.read(max(_PIECE, len(self._text) - self._at))
        if not piece:
            self._ended = True
            return False
        self._lines += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + piece
        self._at = 0
        return True
