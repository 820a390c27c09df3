"""Pictures of all kinds: read upright with 8 bits, or refused in a sentence."""

import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from page.pictures import LONGEST_SHOWN, read_picture, save_shown
from page.unfit import Unfit
from PIL import Image

RED, BLUE = (250, 10, 10), (10, 10, 250)


def two_colours(mode: str = "RGB") -> Image.Image:
    """40 x 20 pixels, red on the left and blue on the right."""
    image = Image.new("RGB", (40, 20), RED)
    image.paste(BLUE, (20, 0, 40, 20))
    return image.convert(mode)


def is_near(colour: object, wanted: tuple[int, int, int]) -> bool:
    return bool((np.abs(np.asarray(colour, dtype=int) - np.asarray(wanted)) < 25).all())


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.jpg", "RGB"), ("a.png", "RGB"), ("a.bmp", "RGB"), ("a.tiff", "RGB"), ("a.webp", "RGB"),
        ("a.png", "P"), ("a.png", "RGBA"), ("a.tiff", "CMYK"), ("a.jpg", "CMYK"),
    ],
)  # fmt: skip
def test_every_format_becomes_rgb(tmp_path: Path, name: str, mode: str) -> None:
    two_colours(mode).save(tmp_path / name)
    picture = read_picture(str(tmp_path / name))
    assert picture.pixels.shape == (20, 40, 3)
    assert is_near(picture.pixels[10, 5], RED)
    assert is_near(picture.pixels[10, 35], BLUE)
    assert picture.note == ""


def test_a_picture_is_turned_as_its_exif_data_says(tmp_path: Path) -> None:
    image = two_colours()
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    image.save(tmp_path / "a.jpg", exif=exif)
    picture = read_picture(str(tmp_path / "a.jpg"))
    assert picture.pixels.shape == (40, 20, 3)
    assert is_near(picture.pixels[5, 10], RED)
    assert is_near(picture.pixels[35, 10], BLUE)
    assert "EXIF" in picture.note


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_16_bits_are_stretched_over_8(tmp_path: Path, name: str) -> None:
    values = np.linspace(100, 4095, 40 * 20).reshape(20, 40).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    picture = read_picture(str(tmp_path / name))
    assert picture.pixels[0, 0].tolist() == [0, 0, 0]
    assert picture.pixels[-1, -1].tolist() == [255, 255, 255]
    assert picture.note == "its values from 100 to 4095 became 0 to 255"


def test_floats_without_a_value_are_black(tmp_path: Path) -> None:
    values = np.full((4, 4), np.nan, dtype=np.float32)
    values[0] = [0, 0.5, 1, np.inf]
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert read_picture(str(tmp_path / "a.tiff")).pixels[:2, :, 0].tolist() == [[0, 128, 255, 255], [0] * 4]


def test_of_several_pages_the_first_is_taken(tmp_path: Path) -> None:
    other = Image.new("RGB", (7, 7))
    two_colours().save(tmp_path / "a.tiff", save_all=True, append_images=[other])
    picture = read_picture(str(tmp_path / "a.tiff"))
    assert picture.pixels.shape == (20, 40, 3)
    assert picture.note == "the first of its 2 pages"


def png_of_size(width: int, height: int) -> bytes:
    """The beginning of a PNG that says it is so large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return start + struct.pack(">I", 1 << 20) + b"IDAT"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no picture"),
        (b"#!/bin/sh\necho", "no picture"),
        (png_of_size(30000, 30000), "more than 100 million pixels"),
        (png_of_size(12000, 10000), "12000 x 10000 pixels, more than 100 million"),
        (png_of_size(1 << 30, 1 << 30), "more than 100 million pixels"),
        (png_of_size(0, 10), "no picture"),
        (png_of_size(10, 10), "no picture"),
        (b"II*\0\xff\xff\xff\xff", "no picture"),
        (b"BM" + b"\xff" * 60, "no picture"),
        (b"RIFF\xff\xff\xff\xffWEBPVP8 ", "no picture"),
        (b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;", "in the format GIF"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(Unfit, match=said) as caught:
        read_picture(str(tmp_path / "a"))
    assert str(tmp_path) not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tiff", "a.webp"])
def test_a_picture_that_was_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for length in (len(data) // 3, len(data) - 40):
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(Unfit, match="no picture, or a damaged one"):
            read_picture(str(tmp_path / name))


@pytest.mark.parametrize("seed", range(40))
def test_changed_bytes_give_a_picture_or_a_sentence(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    path = tmp_path / ("a.jpg", "a.png", "a.tiff", "a.webp", "a.bmp")[seed % 5]
    image = two_colours()
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    data = bytearray(path.read_bytes())
    for place in random.integers(0, len(data), 6):
        data[place] = int(random.integers(0, 256))
    path.write_bytes(data)
    with contextlib.suppress(Unfit):
        assert read_picture(str(path)).pixels.dtype == np.uint8


def test_what_is_shown_is_no_larger_than_a_screen(tmp_path: Path) -> None:
    save_shown(np.zeros((LONGEST_SHOWN + 500, 40, 3), dtype=np.uint8), str(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "a.jpg") as shown:
        assert shown.height == LONGEST_SHOWN
