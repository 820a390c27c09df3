"""The pictures of a data set: opened, decoded and compared with what the labels say of them."""

import base64
import collections
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from wheelferry.client.common.paths import find_faults
from wheelferry.client.data import pillow
from wheelferry.client.data.formats.jsonstream import encoding_of

_AHEAD = 4  # pictures a thread that wait for their turn: each is in memory, so not all of them
_PLAIN = re.compile(r"[!-~]+")


def measure_all(pictures, jobs, step):
    """Yield (picture, Measured or Unfit or OSError), in order; `step` is a task that is advanced by each."""
    pool = ThreadPoolExecutor(jobs)
    waiting: "collections.deque[Any]" = collections.deque()
    try:
        for picture in pictures:
            waiting.append((picture, pool.submit(_measure, picture)))
            if len(waiting) >= jobs * _AHEAD:
                yield _next(waiting, step)
        while waiting:
            yield _next(waiting, step)
    finally:
        for _, future in waiting:
            future.cancel()
        pool.shutdown()


def _next(waiting, step):
    picture, future = waiting.popleft()
    result = future.result()
    step.advance(1)
    return picture, result


def _measure(picture):
    try:
        return pillow.measure(content(picture))
    except (pillow.Unfit, OSError) as error:
        return error


def content(picture):
    """The bytes of a picture: of its file, or of the label file that it is embedded in. Raises Unfit."""
    if not picture.embedded:
        with open(picture.path, "rb") as stream:
            return stream.read()
    with open(picture.path, encoding=encoding_of(picture.path)) as stream:
        data = json.load(stream)["imageData"]
    try:
        return base64.b64decode(data)
    except ValueError as error:
        raise pillow.Unfit("picture-unreadable", "its imageData is no base64: %s" % error) from None


class Comparison(object):
    """Names what is wrong with pictures, and which are the same; over all splits of a data set."""

    def __init__(self, found):
        self._found = found
        self._by_bytes = {}
        self._by_pixels = {}

    def look(self, split, picture, result):
        """Take in what `measure_all` said of a picture of `split`."""
        found, name = self._found, picture.name
        if isinstance(result, OSError):
            found.add("picture-unreadable", name, detail=result.strerror or str(result))
            picture.good = False
            return
        if isinstance(result, pillow.Unfit):
            found.add(result.code, name, detail=str(result))
            picture.good = False
            return
        picture.measured = result
        self._size(picture, result)
        self._reading(picture, result)
        self._same(split, picture, result)

    def _size(self, picture, seen):
        found, name = self._found, picture.name
        stated, shown = (picture.width, picture.height), (seen.width, seen.height)
        if seen.format == "TIFF" and seen.orientation != 1:
            found.add("picture-turned-tiff", name, detail="orientation %d" % seen.orientation)
            picture.good = False
        elif stated != (0, 0) and stated != shown:
            told = "stated %d x %d, it is %d x %d" % (stated + shown)
            turned = stated == seen.stored
            found.add("picture-turned-size" if turned else "picture-size", name, picture.labels, told)
            picture.good = False
        elif seen.orientation != 1:
            found.add("picture-turned", name, detail="orientation %d" % seen.orientation)

    def _reading(self, picture, seen):
        found, name = self._found, picture.name
        if seen.depth > 8:
            found.add("picture-deep", name, detail="%d bits, mode %s" % (seen.depth, seen.mode))
            picture.good = False
        if seen.losing:
            found.add("picture-mode", name, detail=seen.losing)
        if seen.frames > 1:
            found.add("picture-frames", name, detail="%d pictures" % seen.frames)
        ending = os.path.splitext(name)[1][1:].lower()
        if seen.format in pillow.ENDINGS and ending not in pillow.ENDINGS[seen.format]:
            found.add("picture-format", name, detail="it is %s" % seen.format)

    def _same(self, split, picture, seen):
        other = self._by_bytes.setdefault(seen.digest, (split, picture.name))
        alike = self._by_pixels.setdefault(seen.pixels, (split, picture.name))
        by_bytes = other != (split, picture.name)
        first = other if by_bytes else alike
        if first == (split, picture.name):
            return
        if first[0] != split:
            self._found.add("in-two-splits", picture.name, split, "%s in %s" % first[::-1])
        else:
            code = "same-bytes" if by_bytes else "same-pixels"
            self._found.add(code, picture.name, split, "the same as %s" % first[1])


def look_at_names(pictures, found):
    """Names that some programs or systems cannot take; `pictures` is what all splits have."""
    folded = {}  # type: dict[str, str]
    for picture in pictures:
        if not _PLAIN.fullmatch(picture.name):
            found.add("picture-name", picture.name)
        if picture.path and find_faults([picture.name]):
            found.add("picture-name-windows", picture.name)
        other = folded.setdefault(picture.name.casefold(), picture.name)
        if other != picture.name:
            found.add("names-collide", picture.name, detail=other)
