"""The coverage pages: what a person finds there, with a picture and without one."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from conftest import TARGET
from seen_cells import ALL, RECIPES, seen, target
from wheelferry.matrix.coverage import Selection, Status, cells
from wheelferry.matrix.heat_map import Mark, heat_maps, machine_of, mark_of, table_rows
from wheelferry.matrix.pages import Covered, coverage_pages, plain, seen_text
from wheelferry.models.records import Record

ARM = "manylinux_2_28_aarch64"


def pages(*records: Record) -> dict[str, str]:
    verdicts = cells(RECIPES, records, Selection())
    return coverage_pages(
        [Covered(recipe=RECIPES, verdicts=verdicts)], folder="coverage", command="wheelferry matrix"
    )


def drawings(page: str) -> list[ET.Element]:
    return [ET.fromstring(text) for text in re.findall(r"(?s)<svg.*?</svg>", page)]  # noqa: S314


def rows(page: str, start: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith(f"| {start} ")
    ]


@pytest.mark.parametrize(
    ("record", "mark"),
    [
        (seen(), Mark.VERIFIED),
        (seen(levels=ALL[:3]), Mark.SMOKE),
        (seen(levels=ALL[:2]), Mark.BUILDS),
        (seen(levels=ALL[:2], failed="smoke"), Mark.FAILS),
        (seen(plan="0" * 64), Mark.UNTRIED),
    ],
)
def test_a_cell_has_the_mark_of_how_far_it_was_seen(record: Record, mark: Mark) -> None:
    (verdict,) = (v for v in cells(RECIPES, [record], Selection()) if (v.release, v.target) == record.cell)
    assert mark_of(verdict) is mark


@pytest.mark.parametrize(
    ("platform", "backend", "machine"),
    [
        ("manylinux_2_28_x86_64", "default", "Linux x86-64"),
        ("manylinux_2_34_x86_64", "cpu", "Linux x86-64"),
        ("manylinux_2_28_x86_64", "cu130", "Linux x86-64, CUDA"),
        ("win_amd64", "cpu", "Windows"),
        ("win_amd64", "cu130", "Windows, CUDA"),
        (ARM, "default", "Linux Arm 64"),
    ],
)
def test_a_target_is_of_a_kind_of_machine(platform: str, backend: str, machine: str) -> None:
    assert machine_of(replace(TARGET, platform=platform, backend=backend)) == machine


def test_a_square_shows_the_best_of_its_cells_and_that_another_fails() -> None:
    good, bad = seen(target("3.12"), levels=ALL[:3]), seen(target("3.12", backend="default"), failed="smoke")
    linux = heat_maps([v for v in cells(RECIPES, [good, bad], Selection()) if v.release == "1.0"])[0]
    assert linux.machine == "Linux x86-64"
    row = next(row for row in linux.rows if row.torch == "2.13")
    square = row.squares[linux.pythons.index("3.12")]
    assert (square.mark, square.also_fails) == (Mark.SMOKE, True)
    assert table_rows(linux)[0].seen == "smoke, another fails: 3.12"
    drawn = drawings(pages(good, bad)["tiny.md"])[1]
    assert [use.get("href") for use in drawn.iter("use")] == ["#cell-S", "#also-fails"]


def test_the_table_says_what_the_picture_shows() -> None:
    records = [
        seen(target("3.12")),
        seen(target("3.11", "2.9.1", "cu128"), levels=ALL[:1]),
        seen(target("3.12", platform="win_amd64"), levels=ALL[:3], machine="Wine 8.0, x86_64, glibc 2.36"),
        seen(target("3.12", platform=ARM), levels=ALL[:3], machine="qemu 7.2, x86_64"),
    ]
    page = pages(*records)["tiny.md"]
    table = {row[0]: row for row in rows(page, "Linux x86-64, CUDA")}
    assert table["Linux x86-64, CUDA"][2:] != []
    words = "\n".join(" | ".join(row) for row in rows(page, "Linux x86-64"))
    assert "2.13.0 | verified: 3.12 | 3.10, 3.11, 3.13, 3.14" in words
    drawn = {svg.findtext("text"): svg for svg in drawings(page)[1:]}
    assert list(drawn) == ["Linux x86-64", "Linux x86-64, CUDA", "Windows", "Linux Arm 64"]
    titles = {name: [t.text for use in svg.iter("use") for t in use] for name, svg in drawn.items()}
    assert titles == {
        "Linux x86-64": ["Python 3.12, torch 2.13.0: verified to train on 2026-11-21"],
        "Linux x86-64, CUDA": ["Python 3.11, torch 2.9.1: built and read on 2026-11-21"],
        "Windows": ["Python 3.12, torch 2.13.0: passed its checks on 2026-11-21, under Wine 8.0"],
        "Linux Arm 64": ["Python 3.12, torch 2.13.0: passed its checks on 2026-11-21, under qemu 7.2"],
    }
    # whatever a picture uses is defined on the page
    defined = {element.get("id") for element in drawings(page)[0].iter()}
    used = {use.get("href", "")[1:] for svg in drawings(page) for use in svg.iter("use")}
    assert used <= defined
    assert set(re.findall(r"url\(#([\w-]+)\)", page)) <= defined


def test_a_line_says_what_to_type_for_the_same_cell() -> None:
    page = pages(seen(target("3.11", "2.9.1", "cu128")), seen(target("3.12")))["tiny.md"]
    assert [row[4] for row in rows(page, "3.11")] == [
        "`wheelferry bundle tiny@1.0 --python 3.11 --torch 2.9.1 --backend cu128 --out bundle`"
    ]
    (row,) = rows(page, "3.12")
    assert row[:4] == ["3.12", "2.13.0", "Linux x86-64 (cpu)", "verified to train on 2026-11-21"]


def test_the_newest_failures_come_first_with_their_reason_as_it_was_said() -> None:
    reason = "a.cpp:1: error: 'vec<T>' | was *not* declared in `x_y` & z"
    found = [
        seen(
            target(python),
            failed="smoke",
            levels=ALL[:2],
            reason=reason,
            date=f"2026-11-{day}T01:00:00+00:00",
        )
        for python, day in (("3.11", 21), ("3.12", 25), ("3.13", 23))
    ]
    page = pages(*found)["tiny.md"]
    listed = [line for line in page.splitlines() if line.startswith("| fails at")]
    assert [line.split("|")[1].strip() for line in listed] == [
        f"fails at smoke on 2026-11-{day}" for day in (25, 23, 21)
    ]
    assert plain(reason) in listed[0]
    assert "Newest record: 2026-11-25" in page


def test_a_text_is_shown_as_it_is() -> None:
    from markdown_it import MarkdownIt

    text = "a_b_c *x* `y` <T> [z](u) | #1 ~~2~~ & \\ 3"
    table = MarkdownIt("gfm-like").disable("linkify").render(f"| a |\n|---|\n| {plain(text)} |\n")
    shown = "".join(ET.fromstring(table).itertext())  # noqa: S314
    assert text in shown


def test_the_evidence_names_each_wheel_and_each_set_of_skipped_checks_once() -> None:
    records = [seen(target(python), skipped=("check_cuda.roi",)) for python in ("3.11", "3.12", "3.13")]
    page = pages(*records, seen(target("3.14"), plan="0" * 64))["tiny-evidence.md"]
    assert page.count("a" * 64) == 1
    assert page.count("check\\_cuda.roi") == 1
    assert [row[5:7] for row in rows(page, "2.13.0")] == [["1", "1"]] * 3
    assert "cp314-manylinux_2_28_x86_64-torch2_13_0-cpu: the recipe changed since it was verified" in page


def test_what_was_seen_on_an_open_network_says_so() -> None:
    assert seen_text(seen(isolated=False)) == "verified to train on 2026-11-21, not cut off from the network"
    assert seen_text(seen(isolated=False, levels=ALL[:1])) == "built and read on 2026-11-21"


def test_a_recipe_of_which_nothing_was_tried_has_pages() -> None:
    found = pages()
    assert list(found) == ["", "tiny.md", "tiny-evidence.md"]
    assert "[tiny](coverage/tiny.md)" in found[""]
    assert len(drawings(found["tiny.md"])) == 1  # the legend
    assert "No verify report has been recorded." in found["tiny-evidence.md"]


def test_with_a_hundred_records_a_page_stays_small() -> None:
    possible = [v for v in cells(RECIPES, (), Selection()) if v.status is not Status.UNSUPPORTED]
    records = [seen(v.target, release=v.release, skipped=("check_cuda.roi",) * 9) for v in possible[:100]]
    sizes = {name: len(text.encode()) for name, text in pages(*records).items()}
    assert len(records) > 90
    assert max(sizes.values()) < 60_000
