"""Sizes of media, and where a bundle is cut."""

import io
import tarfile

import pytest

from wheelferry.errors import InputError
from wheelferry.transfer.volumes import archive, cut, folder_name, parse_size, volume_name


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4_000_000_000),
        ("4GiB", 4_294_967_296),
        ("4700MB", 4_700_000_000),
        ("4.7 GB", 4_700_000_000),
        ("650M", 650_000_000),
        ("100kB", 100_000),
        ("100KiB", 102_400),
        ("1TB", 10**12),
        ("512", 512),
        ("512B", 512),
    ],
)
def test_a_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-4GB", "4 gigabytes", "4GX", "4,7GB", "1e9", "inf"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InputError, match="is not a size"):
        parse_size(text)


def test_the_archive_is_one_that_tar_reads() -> None:
    files = {"a.txt": b"x" * 511, "b/ü.bin": b"y" * 512, "c/" + "n" * 200: b"", "install.sh": b"#!/bin/sh\n"}
    members, end = archive((name, len(data)) for name, data in files.items())
    raw = b"".join(one.header + files[one.path] + bytes(one.padding) for one in members) + end
    for one in members:
        assert raw[one.begins : one.begins + one.size] == files[one.path]
    with tarfile.open(fileobj=io.BytesIO(raw)) as opened:
        seen = {member.name: opened.extractfile(member) for member in opened}
        assert {name: stream.read() for name, stream in seen.items() if stream} == files
        assert opened.getmember("install.sh").mode == 0o755
        assert {member.mtime for member in opened} == {0}


@pytest.mark.parametrize("total", [1, 99_999, 100_000, 100_001, 1_000_000, 12_345_678])
def test_volumes_cover_all_and_stay_below_the_limit(total: int) -> None:
    limit = 200_000
    places = cut(total, limit, lambda count: 90_000 + 100 * count)
    assert [begin for begin, _ in places] == [sum(size for _, size in places[:n]) for n in range(len(places))]
    assert sum(size for _, size in places) == total
    assert all(0 < size < limit - 90_000 - 100 * len(places) for _, size in places)


def test_the_smallest_volume_that_can_be() -> None:
    least = 90_000 + 65_536 + 1
    assert cut(1, least, lambda _: 90_000) == [(0, 1)]
    with pytest.raises(InputError, match="too small") as caught:
        cut(1, least - 1, lambda _: 90_000)
    assert caught.value.hint == f"give at least {least}B"


def test_names_sort_as_they_are_numbered() -> None:
    assert [folder_name(n, 10) for n in (1, 10)] == ["01-of-10", "10-of-10"]
    assert folder_name(1, 9) == "1-of-9"
    assert volume_name(7) == "bundle.tar.007"
