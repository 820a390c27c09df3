"""Starts a program that serves the page, and uses the page in a browser as a person would.

Run as a file, in a network namespace for instance: ``page_driver.py FOLDER COMMAND...``. What was seen goes
to stdout as JSON; files that the browser saved, and pictures of the screen, to FOLDER.
"""

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from PIL import Image, ImageDraw
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

sys.path.insert(0, str(Path(__file__).parents[1]))
from browser import complaints, open_browser, requested_hosts, resize

PATIENCE = 120  # seconds; a machine that is busy with other tests needs some of them
MANY = 50
_Value = TypeVar("_Value")
_SETTLE = "const [done] = arguments; requestAnimationFrame(() => requestAnimationFrame(done))"
# Gives a file to the page as the system does when one is let go over it.
_DROP = """
const data = new DataTransfer();
const bytes = Uint8Array.from(atob(arguments[1]), (letter) => letter.charCodeAt(0));
data.items.add(new File([bytes], arguments[0], {type: "image/png"}));
document.getElementById("drop").dispatchEvent(
    new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
"""


def shapes(seed: int, size: int = 96) -> Image.Image:
    """A rectangle and a triangle on noise, as the sample's detector knows them."""
    random = np.random.default_rng(seed)
    noise = np.clip(random.normal(128, 18, (96, 96, 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(noise)
    draw = ImageDraw.Draw(image)
    left, top = int(random.integers(4, 14)), int(random.integers(4, 14))
    draw.rectangle((left, top, left + 35, top + 28), fill=(225, 40, 35))
    draw.polygon([(left + 62, top + 42), (left + 40, top + 78), (left + 80, top + 78)], fill=(30, 50, 230))
    return image.resize((size, size), Image.Resampling.BILINEAR)


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def write_pictures(folder: Path) -> list[Path]:
    """A large one, one turned by EXIF, one of 16 bits, and one that is broken."""
    folder.mkdir()
    large = folder / "two shapes.png"
    shapes(1, 768).save(large)
    turned = shapes(2)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif, quality=95)
    grey = np.asarray(shapes(3).convert("L")).astype(np.uint16) * 16
    Image.fromarray(grey).save(folder / "16 bits.tif")
    (folder / "broken.png").write_bytes(png(shapes(4))[:500])
    return [large, folder / "turned.jpg", folder / "16 bits.tif", folder / "broken.png"]


class Page:
    """The page in a browser, by what a person sees of it."""

    def __init__(self, driver: WebDriver, folder: Path) -> None:
        self.driver, self.folder = driver, folder

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        # in one step: what is on the page may be drawn anew at any moment
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
        return [" ".join(text.split()) for text in self.driver.execute_script(script, selector)]

    def settle(self) -> None:
        """Wait until the page has drawn what was asked of it."""
        self.driver.execute_async_script(_SETTLE)

    def wait(self, ask: Callable[[], _Value | None], what: str) -> _Value:
        for _ in range(PATIENCE * 10):
            value = ask()
            if value:
                return value
            time.sleep(0.1)
        self.driver.save_screenshot(str(self.folder / "failed.png"))
        raise AssertionError(f"waited in vain until {what}; {complaints(self.driver)}")

    def add(self, files: Sequence[Path]) -> None:
        self.find("#files").send_keys("\n".join(map(str, files)))

    def wait_for_answers(self, count: int) -> None:
        def answered() -> bool:
            status = str(self.find("#status").get_attribute("textContent"))
            return status == f"{count} of {count} pictures done"

        self.wait(answered, f"{count} pictures are answered")

    def show(self, name: str) -> str:
        """Look at a picture; returns what a screen reader says of it."""
        self.find(f'.strip button[aria-label^="{name}:"]').click()
        self.wait(lambda: name in self.find("#caption").text, f"{name} is shown")
        self.settle()
        shown = self.find("#canvas") if self.find("#canvas").is_displayed() else self.find("#placeholder")
        return str(shown.get_attribute("aria-label") or shown.text)

    def set_threshold(self, keys: str) -> list[str]:
        """Move the slider by keys; returns the scores that are shown then."""
        self.find("#threshold").send_keys(keys)
        self.settle()
        return self.texts("#found td:nth-child(2)")

    def save(self, button: str, ending: str) -> Path:
        folder = self.folder / "browser" / "downloads"
        before = set(folder.glob(f"*{ending}"))
        self.find(button).click()
        return self.wait(
            lambda: next(iter(set(folder.glob(f"*{ending}")) - before), None), f"a {ending} is saved"
        )

    def screenshot(self, name: str, width: int, height: int, *, dark: bool = False) -> None:
        resize(self.driver, width, height, dark=dark)
        time.sleep(0.5)
        self.driver.execute_script("scrollTo(0, 0)")
        self.driver.save_screenshot(str(self.folder / f"{name}.png"))


def start(command: Sequence[str], folder: Path) -> "tuple[subprocess.Popen[bytes], str]":
    """The program, and the address that it prints; it goes on writing to FOLDER/app.log."""
    log = folder / "app.log"
    log.touch()
    process = subprocess.Popen(
        [*command, "--port", "0", "--no-browser"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,  # under Wine 8 a Python does not start with a file
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    threading.Thread(target=_copy, args=(process.stdout, log), daemon=True).start()
    for _ in range(PATIENCE * 10):
        address = re.search(r"http://\S+", log.read_text("utf-8", "replace"))
        if address:
            return process, address[0]
        assert process.poll() is None, log.read_text("utf-8", "replace")
        time.sleep(0.1)
    raise AssertionError(f"no address: {log.read_text('utf-8', 'replace')}")


def _copy(stream: IO[bytes], log: Path) -> None:
    for line in stream:
        with log.open("ab") as file:
            file.write(line)


def look(page: Page, address: str) -> dict[str, Any]:
    """All that a person does with the page, and what came of it."""
    seen: dict[str, Any] = {"address": address}
    page.driver.get(address)
    page.wait(lambda: page.texts("#classes label"), "the classes are listed")
    seen["classes"] = page.texts("#classes label")
    page.driver.execute_script(_DROP, "dropped.png", base64.b64encode(png(shapes(5))).decode())
    page.wait_for_answers(1)
    page.add(write_pictures(page.folder / "pictures"))
    page.wait_for_answers(5)
    names = ("dropped.png", "turned.jpg", "16 bits.tif", "broken.png", "two shapes.png")
    seen["pictures"] = {name: page.show(name) for name in names}
    seen["caption"] = page.find("#caption").text
    seen["asked"] = sorted(requested_hosts(page.driver))
    seen["scores"] = page.texts("#found td:nth-child(2)")
    seen["scores_at_1"] = page.set_threshold(Keys.END)
    seen["scores_at_0"] = page.set_threshold(Keys.HOME)
    page.set_threshold(Keys.ARROW_RIGHT * 30)
    seen["threshold"] = page.find("#threshold-value").text
    seen["asked_for_the_slider"] = sorted(requested_hosts(page.driver))
    return seen


def keep(page: Page) -> dict[str, Any]:
    """Download, write a record, look at what is installed."""
    page.find("#classes input").click()  # the first class off
    page.settle()
    seen: dict[str, Any] = {"first_class_off": page.texts("#found .class")}
    page.find("#classes input").click()
    page.settle()
    with Image.open(page.save("#save-picture", ".png")) as drawn:
        seen["saved"] = drawn.size
    seen["coco"] = json.loads(page.save("#save-all", ".json").read_text("utf-8"))
    page.find("#who").send_keys("Ada Lovelace")
    page.find("#remark").send_keys("as agreed", Keys.TAB, Keys.ENTER)
    page.wait(lambda: page.texts("#records .new"), "the record is written")
    (seen["record"],) = page.texts("#records .new")
    page.find("#about summary").click()
    seen["facts"] = page.texts("#facts tr")
    page.find("#about summary").click()
    for name, width, height in (("wide", 1200, 900), ("phone", 400, 860)):
        page.screenshot(f"{name}-light", width, height)
        page.screenshot(f"{name}-dark", width, height, dark=True)
        overflow = "return document.documentElement.scrollWidth - innerWidth"
        seen[f"{name}_overflow"] = page.driver.execute_script(overflow)
    resize(page.driver, 1200, 900)
    return seen


def load(page: Page) -> dict[str, Any]:
    """Many pictures at once."""
    folder = page.folder / "many"
    folder.mkdir()
    files = [folder / f"{number}.png" for number in range(MANY)]
    for number, path in enumerate(files):
        shapes(number + 100).save(path)
    page.add(files)
    page.wait_for_answers(5 + MANY)
    return {"many_failed": len(page.texts(".strip .failed")) - 1}


def end(page: Page, process: "subprocess.Popen[bytes]", address: str) -> dict[str, Any]:
    """Kill the program under the open page, and look what that says."""
    page.driver.get_log("browser")
    os.killpg(process.pid, signal.SIGKILL)  # with the launcher, which on Windows waits for the program
    process.wait()
    page.add([page.folder / "many" / "0.png"])
    page.wait(lambda: page.find("#banner").is_displayed(), "the page says that nobody answers")
    return {"without_program": page.find("#banner").text, "address_was": address}


def main() -> None:
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True)
    process, address = start(command, folder)
    try:
        with open_browser(folder / "browser") as driver:
            page = Page(driver, folder)
            seen = {**look(page, address), **keep(page), **load(page)}
            driver.get(f"{address}checks")
            seen["checks"] = page.texts("h1, h2")
            driver.get(f"{address}records/{seen['record']}/record.html")
            seen["record_pictures"] = driver.execute_script(
                "return [...document.images].filter((one) => one.naturalWidth).length"
            )
            driver.save_screenshot(str(folder / "record.png"))
            seen["complaints"] = complaints(driver)
            seen["all_asked"] = sorted(requested_hosts(driver))
            driver.get(address)
            page.wait(lambda: page.texts("#classes label"), "the page is there again")
            seen.update(end(page, process, address))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
