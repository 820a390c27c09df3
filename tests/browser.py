"""A headless Chromium for the tests that look at pages, and what it asked of whom."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver

PROGRAMS = ("chromium", "chromedriver")


def require_browser() -> None:
    """Skip the test where there is no Chromium; fail where WHEELFERRY_TESTS_NEED_BROWSER is set."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing and os.environ.get("WHEELFERRY_TESTS_NEED_BROWSER"):
        pytest.fail(f"{', '.join(missing)} should be installed")
    if missing:
        pytest.skip(f"no {', '.join(missing)} on this machine")


@contextlib.contextmanager
def open_browser(
    folder: Path, *, width: int = 1200, height: int = 900, dark: bool = False
) -> Iterator[WebDriver]:
    """A browser whose profile and downloads lie in `folder`, which has to be new."""
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in (
        "--headless=new",
        "--no-sandbox",  # it would want rights of its own; the pages are ours
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        resize(driver, width, height, dark=dark)
        yield driver
    finally:
        driver.quit()


def resize(driver: WebDriver, width: int, height: int, *, dark: bool = False) -> None:
    """Make the page see a screen of that size, in the colours of the system that it would be on."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def requested_hosts(driver: WebDriver) -> set[str]:
    """Host and port of all that was asked for over a network since the last call."""
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    urls = (
        urlsplit(event["params"]["request"]["url"])
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    )
    return {url.netloc for url in urls if url.scheme not in ("data", "blob", "chrome")}


def complaints(driver: WebDriver) -> list[str]:
    """What the page's scripts and the browser had to complain of."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
