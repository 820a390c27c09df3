"""What Pillow says of a picture file. The one module that imports it, and only when it is used."""

import hashlib
import io
import warnings
from collections import namedtuple

from wheelferry.client.common.errors import NotPossibleHere

ORIENTATION = 0x0112  # the tag, of Exif and of TIFF
_SIDEWAYS = (5, 6, 7, 8)

# `width` and `height` are those that a loader gets, which turns the picture as its orientation tag says;
# `stored` is (width, height) in the file. `digest` is of the file's bytes, `pixels` of what they show.
Measured = namedtuple(
    "Measured", "width height stored orientation format mode depth losing frames digest pixels"
)

# Endings by Pillow's names of formats; others are not compared.
ENDINGS = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif"),
    "MPO": ("jpg", "jpeg", "mpo"),
    "PNG": ("png",),
    "BMP": ("bmp", "dib"),
    "TIFF": ("tif", "tiff"),
    "WEBP": ("webp",),
    "GIF": ("gif",),
}


class Unfit(Exception):
    """A file that is no sound picture; `code` is its kind."""

    def __init__(self, code, detail):
        super().__init__(detail)
        self.code = code


def is_there():
    """Whether the Python that runs has Pillow."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        return False
    return True


def require(what):
    """Raise NotPossibleHere where there is no Pillow; `what` needs it."""
    if not is_there():
        raise NotPossibleHere(
            "%s needs Pillow, and this Python has none" % what,
            hint="add it to the bundle with --with pillow, or do this on a machine that has it",
        )


def measure(data):
    """All that is to be known of the picture in the bytes `data`; decodes all of it. Raises Unfit."""
    from PIL import Image

    digest = hashlib.sha256(data).digest()[:16]
    with warnings.catch_warnings():
        # what Pillow only warns of is named as a kind of its own, or nothing that training meets
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as error:
            raise Unfit("picture-too-large", str(error)) from None
        except (OSError, ValueError, SyntaxError, TypeError, EOFError, IndexError, KeyError) as error:
            raise Unfit("picture-unreadable", _first_line(error)) from None
        with image:
            return _measured(image, digest)


def _measured(image, digest):
    form, mode, size = image.format, image.mode, image.size
    depth = _depth(image)
    transparent = "transparency" in image.info
    frames = 1 if form == "MPO" else getattr(image, "n_frames", 1)  # an MPO's others are small previews
    try:
        # of a PNG the tag may come after the pixels; of a TIFF it is gone once they are loaded
        orientation = image.getexif().get(ORIENTATION, 1)
        image.load()
        pixels = hashlib.sha256(image.tobytes() + repr((image.size, image.mode)).encode("ascii"))
    except (
        OSError,
        ValueError,
        SyntaxError,
        TypeError,
        EOFError,
        IndexError,
        KeyError,
        MemoryError,
    ) as error:
        raise Unfit("picture-truncated", _first_line(error)) from None
    orientation = orientation if orientation in range(1, 9) else 1
    turned = orientation in _SIDEWAYS
    if form == "TIFF":  # its size is that of the turned picture, where Pillow turns it
        size = _tiff_size(image, size)
    shown = size[::-1] if turned else size
    return Measured(
        shown[0],
        shown[1],
        size,
        orientation,
        form,
        mode,
        depth,
        _losing(image, mode, transparent),
        frames,
        digest,
        pixels.digest()[:16],
    )


def _tiff_size(image, otherwise):
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(256), tags.get(257)
    return (int(width), int(height)) if width and height else otherwise


def _depth(image):
    """Bits of one grey level; colours of more than 8 bits are cut to their upper 8 by Pillow, rightly."""
    if image.mode.startswith("I;16"):
        return 16
    return 32 if image.mode in ("I", "F") else 8


def _losing(image, mode, transparent):
    """What a picture loses when it is read as RGB; nothing for most."""
    if mode in ("CMYK", "YCCK"):
        return "%s: colours are only near those of a program with colour profiles" % mode
    if mode == "LAB":
        return "LAB colours"
    if mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        low, _ = image.getchannel(image.getbands()[-1]).getextrema()
        return "transparent parts show what lies under them" if low < 255 else ""
    if transparent:
        return "one colour is transparent, and shown"
    return "black and white alone (1 bit)" if mode == "1" else ""


def runs_of(data, width, height, left, top):
    """The mask in the picture bytes `data`, put at (left, top) of a larger picture, as counts of COCO's code.

    The counts are of pixels column by column, of 0 and 1 in turn, beginning with 0. Raises Unfit.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as small:
            flags = small.convert("L").point(lambda level: 1 if level else 0)
    except (OSError, ValueError, SyntaxError) as error:
        raise Unfit("shape-broken", _first_line(error)) from None
    whole = Image.new("L", (width, height))
    whole.paste(flags, (left, top))
    columns = whole.transpose(Image.TRANSPOSE if hasattr(Image, "TRANSPOSE") else Image.Transpose.TRANSPOSE)
    return _runs(columns.tobytes())


def _runs(flags):
    counts, at, sign = [], 0, b"\0"
    while at < len(flags):
        other = b"\1" if sign == b"\0" else b"\0"
        end = flags.find(other, at)
        end = len(flags) if end < 0 else end
        counts.append(end - at)
        at, sign = end, other
    return counts


def _first_line(error):
    return (str(error) or type(error).__name__).splitlines()[0].replace("<_io.BytesIO object at ", "<")[:200]
