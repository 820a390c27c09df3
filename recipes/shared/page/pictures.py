"""Pictures as people have them: read upright, with 8 bits, or refused in a sentence that says why."""

import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

from .unfit import Unfit

# By Pillow's names; MPO is what some cameras and phones write into a .jpg.
FORMATS = ("JPEG", "MPO", "PNG", "BMP", "TIFF", "WEBP")
MOST_PIXELS = 100000000  # three bytes each: what one picture may take of the memory, several times over
LONGEST_SHOWN = 2000  # pixels of the longer side of what the page shows
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)
_CHOOSE = "JPEG, PNG, BMP, TIFF and WebP can be read"


class Picture(object):
    """Pixels, RGB, uint8 [H, W, 3], and what had to be done to get them (empty: nothing)."""

    def __init__(self, pixels, note):
        self.pixels = pixels
        self.note = note


def read_picture(path):
    """The picture in a file, upright as its EXIF data says; raises Unfit for what is none that we read."""
    with warnings.catch_warnings():
        # Pillow warns of what it then leaves out, and of sizes that are looked at below
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                _check(image)
                return _read(image)
        except Unfit:
            raise
        except Image.DecompressionBombError:
            raise Unfit("it has more than %d million pixels" % (MOST_PIXELS // 1000000)) from None
        except MemoryError:
            raise Unfit("this machine has not enough memory for it", hint="make it smaller") from None
        except _BROKEN:
            raise Unfit("it is no picture, or a damaged one", hint=_CHOOSE) from None


def _check(image):
    """Raise Unfit for what must not be unpacked: the header alone has been read so far."""
    if image.format not in FORMATS:
        raise Unfit("it is a picture in the format %s" % image.format, hint=_CHOOSE)
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise Unfit(
            "it has %d x %d pixels, more than %d million" % (width, height, MOST_PIXELS // 1000000),
            hint="make it smaller",
        )


def _read(image):
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        notes.append("the first of its %d pages" % frames)
    upright = ImageOps.exif_transpose(image)
    if upright.size != image.size:
        notes.append("turned upright, as its EXIF data says")
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        upright, low, high = _to_8_bit(upright)
        notes.append("its values from %g to %g became 0 to 255" % (low, high))
    pixels = np.asarray(upright.convert("RGB"))
    return Picture(pixels, "; ".join(notes))


def _to_8_bit(image):
    """A picture of 16 bits or more with 8, from its darkest to its brightest value; and these two.

    Cameras with 10 or 12 bits fill a part of the 16 only: cut off at a fixed value, it would be black.
    """
    values = np.asarray(image).astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scaled = np.nan_to_num((values - low) * (255.0 / ((high - low) or 1.0)))
    return Image.fromarray(np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)), low, high


def save_shown(pixels, path):
    """Write what the page shows of a picture: a JPEG file, made smaller where it is larger than a screen."""
    image = Image.fromarray(pixels)
    image.thumbnail((LONGEST_SHOWN, LONGEST_SHOWN))
    image.save(path, "JPEG", quality=90)
