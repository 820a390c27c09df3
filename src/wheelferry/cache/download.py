"""Downloads into the store: in parallel, resumed where they stopped, hashed while they stream."""

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from urllib3 import Retry
from urllib3.exceptions import HTTPError, InvalidHeader

from wheelferry.cache.pip_config import IndexSettings
from wheelferry.cache.store import Entry, Store
from wheelferry.errors import IntegrityError, MissingError
from wheelferry.progress import Progress, Task
from wheelferry.system.files import CHUNK, require_space, write_atomic
from wheelferry.system.threads import WAKE_SECONDS, in_threads

ATTEMPTS = 5  # one after another that bring nothing new
PAUSE_SECONDS = 2.0  # before the second attempt; doubled each time, up to ten
LONGEST_PAUSE = 120.0  # that a server may ask for
CONNECTIONS = 6
HASHERS = 2
# Pieces of a megabyte would be mapped and zeroed anew for each read: three times the system time.
PIECE_BYTES = 1 << 18
TIMEOUT_SECONDS = (15, 60)  # to connect, and between two pieces
# Who sends less than this has stalled, though each byte comes in time: 2.7 GB would take a month.
SLOWEST_BYTES = 60_000
SLOWEST_SECONDS = 60.0
_FINAL = range(400, 500)
_PASSING = (408, 425, 429)  # of these, the answers that another moment changes


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """A file to fetch: a URL (or ``file://``), the name it goes by, its SHA-256 and who says that, if any."""

    url: str
    filename: str
    sha256: str | None
    size: int | None = None
    pinned_by: str = "the index"


class _Stopped(Exception):
    """Another download failed; this one need not finish."""


class _RestartFromZero(Exception):
    """The server does not continue where we stopped."""


class _TryAgain(Exception):
    """The server does not serve the file now; `seconds` is how long it wants to be left alone."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class _Arrived:
    """The hash of what arrived; `in_one` when one answer of a length that was told brought all of it."""

    digest: str
    in_one: bool


def download_all(
    downloads: Iterable[Download], store: Store, index: IndexSettings, progress: Progress
) -> dict[str, Entry]:
    """Bring every file into the store and return its entry by URL; what is there already is only re-hashed.

    Raises IntegrityError for bytes that are not the expected ones, MissingError when a host does not
    answer or has no such file. Whatever arrived stays: the next call continues.
    """
    wanted = list(dict.fromkeys(downloads))
    present, missing = _split(wanted, store, progress)
    with index.session(connections=CONNECTIONS) as session, progress.task("download", unit="bytes") as task:
        transfer = _Transfer(store=store, session=session, index=index, task=task, stop=threading.Event())
        sized = in_threads(transfer.size, missing, workers=2 * CONNECTIONS)
        # the largest first, so that none of them is left alone at the end
        sized.sort(key=lambda d: d.size or 0, reverse=True)
        total = sum(d.size or 0 for d in sized)
        require_space(store.root, total - _resumable(sized, store), purpose="the download")
        task.total(total)
        entries = _in_parallel(transfer, sized)
    return present | entries


def _split(
    wanted: list[Download], store: Store, progress: Progress
) -> tuple[dict[str, Entry], list[Download]]:
    """What the store holds, re-hashed, and what is to be fetched."""
    candidates = [d for d in wanted if d.sha256 and store.has(d.sha256)]
    with progress.task("re-hash cached files", unit="bytes") as task:
        task.total(sum(store.path(d.sha256).stat().st_size for d in candidates if d.sha256))
        paths = in_threads(
            lambda d: store.take(d.sha256 or "", on_bytes=task.advance), candidates, workers=HASHERS
        )
    present = {
        d.url: Entry(sha256=d.sha256 or "", filename=d.filename, size=path.stat().st_size)
        for d, path in zip(candidates, paths, strict=True)
        if path
    }
    return present, [d for d in wanted if d.url not in present]


def _resumable(downloads: list[Download], store: Store) -> int:
    """Bytes of `downloads` that an interrupted run left."""
    parts = [store.partial / f"{d.sha256}.part" for d in downloads if d.sha256]
    return sum(part.stat().st_size for part in parts if part.is_file())


def _in_parallel(transfer: "_Transfer", downloads: list[Download]) -> dict[str, Entry]:
    """Run all downloads; the first that fails stops the others and is raised."""
    with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
        futures = {pool.submit(transfer.fetch, download): download for download in downloads}
        try:
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, timeout=WAKE_SECONDS, return_when=FIRST_EXCEPTION)
                failures = [error for future in done if (error := future.exception())]
                for error in failures:
                    if not isinstance(error, _Stopped):
                        raise error
        finally:
            transfer.stop.set()
            pool.shutdown(cancel_futures=True)
    return {download.url: future.result() for future, download in futures.items()}


@dataclass(frozen=True, kw_only=True)
class _Transfer:
    """What all downloads of one call share."""

    store: Store
    session: requests.Session
    index: IndexSettings
    task: Task
    stop: threading.Event

    def fetch(self, download: Download) -> Entry:
        """One file into the store; a wrong hash of what was put together gets one clean retry."""
        name = download.sha256 or hashlib.sha256(download.url.encode()).hexdigest()
        with self.store.lock(f"download-{name}"):
            if download.sha256 and (path := self.store.take(download.sha256)):
                return Entry(sha256=download.sha256, filename=download.filename, size=path.stat().st_size)
            self.store.partial.mkdir(parents=True, exist_ok=True)
            part = self.store.partial / f"{name}.part"
            arrived = self._bring(download, part)
            if not arrived.in_one and download.sha256 not in (None, arrived.digest):
                self.task.advance(-part.stat().st_size)
                part.unlink()
                arrived = self._bring(download, part)
            _version_file(part).unlink(missing_ok=True)
            if download.sha256 not in (None, arrived.digest):
                part.unlink()
                raise IntegrityError(
                    f"{download.filename}: SHA-256 is {arrived.digest}, "
                    f"but {download.pinned_by} says {download.sha256} ({download.url})",
                    hint="the file was altered on the way or on the mirror; nothing was kept",
                )
            size = part.stat().st_size
            self.store.adopt(part, arrived.digest)
            return Entry(sha256=arrived.digest, filename=download.filename, size=size)

    def _bring(self, download: Download, part: Path) -> _Arrived:
        """All bytes of the file into `part`; MissingError when this machine cannot hold them."""
        local = _local_path(download.url)
        try:
            return self._copy(local, part) if local else self._stream(download, part)
        except OSError as error:
            raise MissingError(
                f"cannot write {part}: {error.strerror} (while downloading {download.filename})",
                hint="free some space, or set WHEELFERRY_CACHE to another disk; what arrived is kept",
            ) from None

    def _copy(self, source: Path, part: Path) -> _Arrived:
        digest = hashlib.sha256()
        try:
            stream = source.open("rb")
        except OSError as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise MissingError(f"{source}: {reason}", hint="the index or find-links names it") from None
        with stream, part.open("wb") as sink:
            while piece := stream.read(CHUNK):
                sink.write(piece)
                digest.update(piece)
                self.task.advance(len(piece))
        return _Arrived(digest=digest.hexdigest(), in_one=True)

    def _stream(self, download: Download, part: Path) -> _Arrived:
        """Append to `part` until the server has no more, through broken connections and short answers."""
        digest, have = _begun(download, part)
        self.task.advance(have)
        if have and digest.hexdigest() == download.sha256:
            return _Arrived(digest=digest.hexdigest(), in_one=True)
        failure, failures, asked, mark = "", 0, 0.0, have
        while failures < ATTEMPTS:
            if failures and self.stop.wait(max(asked, min(PAUSE_SECONDS * 2 ** (failures - 1), 10.0))):
                raise _Stopped
            failures, asked = failures + 1, 0.0
            begun = have
            try:
                failure = "the answer was cut short each time"
                whole = self._append(download, part, digest, have)
                if whole is not None:
                    return _Arrived(digest=digest.hexdigest(), in_one=whole and not begun)
            except _RestartFromZero:
                failure = "the server does not continue, and breaks off"
                part.unlink(missing_ok=True)
            except _TryAgain as error:
                failure, asked = str(error), min(error.seconds, LONGEST_PAUSE)
            except (requests.RequestException, HTTPError) as error:
                failure = str(error)
            digest, have = _begun(download, part)
            self.task.advance(min(0, have - begun))
            if have >= mark + PIECE_BYTES:  # it goes on, however often it breaks
                failures, mark = 1, have
        raise MissingError(
            f"{download.url}: gave up after {ATTEMPTS} attempts ({failure})",
            hint="check the network, the proxy and pip's index settings; what arrived is kept and continued",
        )

    def _append(self, download: Download, part: Path, digest: "hashlib._Hash", have: int) -> bool | None:
        """One request from byte `have` on. None while bytes are missing; else whether it was told when."""
        headers = {"Accept-Encoding": "identity"}
        version = _read_version(part) if have else ""
        if have:
            headers["Range"] = f"bytes={have}-"
        if version:
            headers["If-Range"] = version
        with self.session.get(
            download.url,
            headers=headers,
            stream=True,
            timeout=TIMEOUT_SECONDS,
            **self.index.access(download.url, self.session),
        ) as response:
            _require_content(download.url, response, have)
            stated = _version_of(response)
            if version and stated not in ("", version):
                raise _RestartFromZero  # another file by now
            if not have:
                _write_version(part, stated)
            expected = _expected_end(response, have)
            pace = _Pace()
            with part.open("ab") as sink:
                while piece := response.raw.read1(PIECE_BYTES, decode_content=False):
                    if self.stop.is_set():
                        raise _Stopped
                    sink.write(piece)
                    digest.update(piece)
                    have += len(piece)
                    self.task.advance(len(piece))
                    pace.require(len(piece))
        if expected is not None and have < expected:
            return None
        return expected is not None

    def size(self, download: Download) -> Download:
        """The same download with its size, if the server tells; only order and space checks want it."""
        local = _local_path(download.url)
        if local:
            return replace(download, size=local.stat().st_size) if local.is_file() else download
        try:
            response = self.session.head(
                download.url,
                allow_redirects=True,
                timeout=TIMEOUT_SECONDS,
                headers={"Accept-Encoding": "identity"},
                **self.index.access(download.url, self.session),
            )
        except (requests.RequestException, HTTPError):
            return download  # the download itself will say what is wrong
        length = _whole(response.headers.get("Content-Length", ""))
        return replace(download, size=length) if response.ok and length is not None else download


def _local_path(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    # the host of a file: URL is that of a Windows share: file://server/share/x is \\\\server\\share\\x
    share = f"//{parts.netloc}" if os.name == "nt" and parts.netloc not in ("", "localhost") else ""
    return Path(url2pathname(share + parts.path))


def _begun(download: Download, part: Path) -> tuple["hashlib._Hash", int]:
    """The running hash of what arrived so far, and how many bytes that is."""
    if download.sha256 is None and not _read_version(part):
        part.unlink(missing_ok=True)  # nothing would tell whether the rest is of the same file
    digest = hashlib.sha256()
    have = 0
    if part.is_file():
        with part.open("rb") as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
                have += len(piece)
    return digest, have


class _Pace:
    """Watches how much arrives: a server that drips would keep us for ever."""

    def __init__(self) -> None:
        self._since, self._seen = time.monotonic(), 0

    def require(self, size: int) -> None:
        """Count `size` bytes; _TryAgain when too few came for too long."""
        self._seen += size
        now = time.monotonic()
        if now - self._since < SLOWEST_SECONDS:
            return
        if self._seen < SLOWEST_BYTES:
            raise _TryAgain(f"only {self._seen} bytes in {SLOWEST_SECONDS:.0f} seconds")
        self._since, self._seen = now, 0


def _require_content(url: str, response: requests.Response, have: int) -> None:
    """Raise unless the answer has the file's bytes from `have` on: for good, for now, or to begin again."""
    status = response.status_code
    if status in (200, 206) and _begins_at(response) == have:
        return
    if status in (200, 206) or (status == 416 and have):
        raise _RestartFromZero
    message = f"the server answers {status} {response.reason}"
    if status in _FINAL and status not in _PASSING:
        raise MissingError(
            f"{url}: {message}",
            hint="check the index and the credentials in pip's configuration or netrc",
        )
    raise _TryAgain(message, _retry_after(response))


def _begins_at(response: requests.Response) -> int | None:
    """The first byte that an answer brings; None when it does not say so."""
    if response.status_code == 200:
        return 0
    stated = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""), re.ASCII)
    return int(stated[1]) if stated else None


def _expected_end(response: requests.Response, have: int) -> int | None:
    """How many bytes the file has; None when the answer does not say so. A part of a range is not its end."""
    whole = _whole(response.headers.get("Content-Range", "").rpartition("/")[2])
    if response.status_code == 206 and whole is not None:
        return whole
    length = _whole(response.headers.get("Content-Length", ""))
    return None if length is None else have + length


def _whole(text: str) -> int | None:
    """A header's number; None for anything else, such as one of a thousand digits."""
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else None


def _retry_after(response: requests.Response) -> float:
    """How many seconds a server wants to be left alone: a number or a date (RFC 9110, 10.2.3)."""
    try:
        return float(Retry().parse_retry_after(response.headers.get("Retry-After", "")))
    except (InvalidHeader, ValueError, OverflowError):  # the last two: a number that none can wait for
        return 0.0


def _version_of(response: requests.Response) -> str:
    """What tells this content of a URL from another: a strong ETag, else the date; empty without either."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _version_file(part: Path) -> Path:
    return part.with_suffix(".version")


def _read_version(part: Path) -> str:
    """Of which content `part` is the beginning, in the server's words; empty when it did not say so."""
    try:
        return _version_file(part).read_text("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _write_version(part: Path, version: str) -> None:
    if version.isascii() and version.isprintable() and version:
        write_atomic(_version_file(part), version)
    else:
        _version_file(part).unlink(missing_ok=True)
