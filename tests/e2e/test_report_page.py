"""The report as a reader sees it: in a browser, on a screen, on a phone and on paper.

``WHEELFERRY_SCREENSHOTS=docs/images`` writes the pictures that the documentation shows.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By

from browser import complaints, open_browser, requested_hosts, require_browser, resize
from ferry import Ferry
from wheelferry.models.problems import Code, Problem
from wheelferry.models.report import Check, Level, LevelResult, Report, TargetResult
from wheelferry.verification.html_report import render_page

pytestmark = pytest.mark.e2e

TORCH = "2.13.0"
LONG = "a_name_without_any_space_" * 9
PHONE, SCREEN = (400, 800), (1200, 900)


@pytest.fixture(scope="module")
def report(ferry: Ferry) -> Path:
    """The report of the sample's bundle, verified up to training."""
    out = ferry.cache.parent / "seen"
    ferry("bundle", "sample@1.0", "--torch", TORCH, "--out", out)
    return out / "report" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    require_browser()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        open_browser(Path(folder, "browser")) as opened,
    ):
        yield opened


def look(browser: WebDriver, page: Path, size: tuple[int, int]) -> None:
    resize(browser, *size)
    browser.get(page.as_uri())


def overflow(browser: WebDriver) -> int:
    """How many pixels the page is wider than the screen: more than 0 makes the reader scroll sideways."""
    wider: int = browser.execute_script(
        "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    )
    return wider


def dead_links(browser: WebDriver) -> list[str]:
    """The links within the page that lead nowhere."""
    links = [link.get_attribute("href") or "" for link in browser.find_elements(By.CSS_SELECTOR, "a")]
    targets = [link.partition("#")[2] for link in links]
    return [target for target in targets if not browser.find_elements(By.ID, target)]


def in_sight(browser: WebDriver, selector: str) -> bool:
    """Whether all of an element is on the screen before anybody scrolls."""
    box = browser.find_element(By.CSS_SELECTOR, selector).rect
    height: int = browser.execute_script("return window.innerHeight")
    top, bottom = int(box["y"]), int(box["y"] + box["height"])
    return top >= 0 and bottom <= height


def failing(folder: Path) -> Path:
    """A report of everything that goes wrong, with names as long as can be."""
    problem = Problem(code=Code.RECORD, file=f"wheelhouse/{LONG}.whl", message=f"{LONG} <b>&</b> שלום")
    check = Check(
        name="check_x.fails", title=LONG, status="failed", seconds=1.0, reason=LONG, traceback=LONG * 20,
        values={LONG: 0.5}, files=({"path": "absent.png", "caption": LONG},),
    )  # fmt: skip
    smoke = LevelResult(level=Level.SMOKE, seconds=1.0, problems=(problem,) * 40, checks=(check,))
    train = LevelResult(level=Level.TRAIN, seconds=0.0, not_run=LONG)
    written = Report(
        bundle=LONG, digest="d" * 64, title=f"{LONG}@1.0", level=Level.TRAIN,
        date="2026-11-21T12:00:00+00:00", host={"platform": LONG}, command=f"wheelferry verify …/{LONG}",
        static=LevelResult(level=Level.STATIC, seconds=1.0, facts={"files": 1, "bytes": 2, "wheels": 3}),
        targets=(TargetResult(target=LONG, levels=(smoke, train)),),
    )  # fmt: skip
    file = folder / "report.html"
    file.write_text(render_page(written, folder), "utf-8")
    return file


@pytest.mark.parametrize("size", [SCREEN, PHONE], ids=["screen", "phone"])
def test_the_verdict_is_seen_first_and_nothing_leads_nowhere(
    report: Path, browser: WebDriver, size: tuple[int, int]
) -> None:
    look(browser, report, size)
    assert overflow(browser) == 0
    assert in_sight(browser, ".verdict.good")
    assert "Verified" in browser.find_element(By.CSS_SELECTOR, ".verdict").text
    assert dead_links(browser) == []
    assert len(browser.find_elements(By.CSS_SELECTOR, "nav a")) >= 5
    assert requested_hosts(browser) == {""}
    assert complaints(browser) == []


@pytest.mark.parametrize("size", [SCREEN, PHONE], ids=["screen", "phone"])
def test_a_report_of_failures_with_long_names_is_readable_too(
    browser: WebDriver, tmp_path: Path, size: tuple[int, int]
) -> None:
    look(browser, failing(tmp_path), size)
    assert overflow(browser) == 0
    assert in_sight(browser, ".verdict.bad")
    assert dead_links(browser) == []


def test_all_pictures_are_in_the_page(report: Path, browser: WebDriver) -> None:
    look(browser, report, SCREEN)
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) >= 2
    assert min(widths) > 100


def test_on_paper_there_is_room_to_sign_and_no_contents(report: Path, browser: WebDriver) -> None:
    look(browser, report, SCREEN)

    def shown(selector: str) -> bool:
        return browser.find_element(By.CSS_SELECTOR, selector).is_displayed()

    assert (shown("nav"), shown(".sign")) == (True, False)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert (shown("nav"), shown(".sign")) == (False, True)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_picture_in_the_documentation_can_be_made(
    report: Path, browser: WebDriver, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("WHEELFERRY_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    look(browser, report, (1000, 1250))
    picture = folder / "report.png"
    picture.write_bytes(browser.get_screenshot_as_png())
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(report.with_name("report.json").read_text("utf-8"))["passed"]
