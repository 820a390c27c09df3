"""Run-length codes of masks as COCO has them: counts of 0 and 1 in turn, column by column."""


class NotRle(ValueError):
    """What is no run-length code, and why."""


def counts_of(code):
    """The counts of a code `{"size": [height, width], "counts": ...}`, compressed or not. Raises NotRle."""
    size = code.get("size")
    if not isinstance(size, list) or [type(value) for value in size] != [int, int] or min(size) < 1:
        raise NotRle("its size is not [height, width]")
    counts = code.get("counts")
    if isinstance(counts, str):
        counts = _decompressed(counts)
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise NotRle("its counts are neither text nor whole numbers")
    if any(count < 0 for count in counts):
        raise NotRle("a count is negative")
    if sum(counts) != size[0] * size[1]:
        raise NotRle("its counts are %d pixels, its size says %d" % (sum(counts), size[0] * size[1]))
    return counts


def _decompressed(text):
    """COCO's own compression: five bits a sign; later counts are differences."""
    counts = []  # type: list[int]
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            if at >= len(text):
                raise NotRle("its counts end too early")
            sign = ord(text[at]) - 48
            if not 0 <= sign < 64 or shift > 60:
                raise NotRle("its counts have a sign that is none of the code's")
            value |= (sign & 31) << shift
            more = bool(sign & 32)
            at += 1
            shift += 5
            if not more and sign & 16:
                value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return counts


def area(counts):
    """How many pixels are set."""
    return sum(counts[1::2])


def extent(counts, height):
    """The box (x, y, width, height) around the pixels that are set."""
    at, left, right, top, bottom = 0, None, 0, height, 0
    for place, count in enumerate(counts):
        if place % 2 and count:
            first, last = at, at + count - 1
            left = first // height if left is None else left
            right = last // height
            if first // height != right:
                top, bottom = 0, height - 1
            top, bottom = min(top, first % height), max(bottom, last % height)
        at += count
    return left or 0, top, right - (left or 0) + 1, bottom - top + 1
