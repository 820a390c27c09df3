"""Pictures wait in a row, one thread asks the model: it is loaded once and works on one at a time."""

import collections
import hashlib
import os
import queue
import secrets
import sys
import threading
import time
import traceback

from .pictures import read_picture, save_shown
from .predictions import to_json
from .unfit import Unfit

LARGEST_PICTURE = 64 << 20  # bytes of one file
MOST_WAITING = 300
MOST_KEPT = 600  # pictures that were answered; the page has its own copy of what it shows
_CHUNK = 1 << 20


class Busy(Exception):
    """More pictures wait than is sensible; try again in a moment."""


class TooLarge(Exception):
    """The file has more bytes than `LARGEST_PICTURE`."""


class Entry(object):
    """One picture on its way: `state` is waiting, working, done or failed."""

    def __init__(self, name, path, sha256, size):
        self.name = name
        self.path = path
        self.sha256 = sha256
        self.size = size
        self.state = "waiting"
        self.answer = {}


class PictureQueue(object):
    """Takes pictures at any time and answers one after the other; files lie in `folder`."""

    def __init__(self, model, folder):
        self._model = model
        self._folder = folder
        self._entries = collections.OrderedDict()
        self._waiting = queue.Queue()
        self._lock = threading.Lock()
        threading.Thread(target=self._work, name="model", daemon=True).start()

    def add(self, name, stream):
        """Take the picture of that name from an open file; returns its identifier. Raises Busy, TooLarge."""
        if self._waiting.qsize() >= MOST_WAITING:
            raise Busy
        identifier = secrets.token_urlsafe(12)
        path = os.path.join(self._folder, identifier)
        digest, size = hashlib.sha256(), 0
        with open(path, "wb") as file:
            for chunk in iter(lambda: stream.read(_CHUNK), b""):
                size += len(chunk)
                if size > LARGEST_PICTURE:
                    break
                digest.update(chunk)
                file.write(chunk)
        if size > LARGEST_PICTURE:
            _remove(path)
            raise TooLarge
        with self._lock:
            self._entries[identifier] = Entry(name, path, digest.hexdigest(), size)
            self._forget_oldest()
        self._waiting.put(identifier)
        return identifier

    def get(self, identifier):
        """The entry of that identifier; None when there is none, or no longer."""
        with self._lock:
            return self._entries.get(identifier)

    def describe(self, identifier):
        """What the page is told of a picture; None when it is unknown."""
        entry = self.get(identifier)
        if entry is None:
            return None
        return dict(entry.answer, id=identifier, name=entry.name, state=entry.state)

    def _forget_oldest(self):
        answered = [name for name, entry in self._entries.items() if entry.state in ("done", "failed")]
        for name in answered[: max(0, len(answered) - MOST_KEPT)]:
            _remove(self._entries.pop(name).path + ".jpg")

    def _work(self):
        while True:
            entry = self.get(self._waiting.get())
            entry.state = "working"
            try:
                entry.answer = self._answer(entry)
                entry.state = "done"
            except Unfit as error:
                entry.answer = {"error": str(error), "hint": error.hint}
                entry.state = "failed"
            except Exception:  # whatever a model raises, the others that wait must be answered
                traceback.print_exc(file=sys.stderr)
                entry.answer = {
                    "error": "the model failed on this picture",
                    "hint": "the window in which the program was started says how",
                }
                entry.state = "failed"
            finally:
                _remove(entry.path)

    def _answer(self, entry):
        picture = read_picture(entry.path)
        height, width = picture.pixels.shape[:2]
        started = time.perf_counter()
        instances = self._model.predict(picture.pixels)
        seconds = time.perf_counter() - started
        save_shown(picture.pixels, entry.path + ".jpg")
        return {
            "width": width,
            "height": height,
            "note": picture.note,
            "milliseconds": round(seconds * 1000, 1),
            "sha256": entry.sha256,
            "bytes": entry.size,
            "instances": to_json(instances, width, height),
        }


def _remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
