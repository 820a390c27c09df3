"""Downloads into the store: in parallel, resumed where they stopped, hashed while they stream."""

import errno
import hashlib
import os
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from urllib3.exceptions import HTTPError

from wheelferry.errors import IntegrityError, MissingError
from wheelferry.files import CHUNK, require_space
from wheelferry.index import IndexSettings
from wheelferry.parallel import WAKE_SECONDS, in_threads
from wheelferry.progress import Progress, Task
from wheelferry.store import Entry, Store

ATTEMPTS = 5
PAUSE_SECONDS = 2.0  # before the second attempt; doubled each time, up to ten
CONNECTIONS = 6
HASHERS = 2
# Pieces of a megabyte would be mapped and zeroed anew for each read: three times the system time.
PIECE_BYTES = 1 << 18
TIMEOUT_SECONDS = (15, 60)  # to connect, and between two pieces


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
        """One file into the store; a wrong hash after a resumed download gets one clean retry."""
        name = download.sha256 or hashlib.sha256(download.url.encode()).hexdigest()
        with self.store.lock(f"download-{name}"):
            if download.sha256 and (path := self.store.take(download.sha256)):
                return Entry(sha256=download.sha256, filename=download.filename, size=path.stat().st_size)
            self.store.partial.mkdir(parents=True, exist_ok=True)
            part = self.store.partial / f"{name}.part"
            resumed = part.is_file()
            digest = self._bring(download, part)
            if resumed and download.sha256 not in (None, digest):
                self.task.advance(-part.stat().st_size)
                part.unlink()
                digest = self._bring(download, part)
            if download.sha256 not in (None, digest):
                part.unlink()
                raise IntegrityError(
                    f"{download.filename}: SHA-256 is {digest}, "
                    f"but {download.pinned_by} says {download.sha256} ({download.url})",
                    hint="the file was altered on the way or on the mirror; nothing was kept",
                )
            size = part.stat().st_size
            self.store.adopt(part, digest)
            return Entry(sha256=digest, filename=download.filename, size=size)

    def _bring(self, download: Download, part: Path) -> str:
        """All bytes of the file into `part`; returns their hash."""
        local = _local_path(download.url)
        return self._copy(local, part) if local else self._stream(download, part)

    def _copy(self, source: Path, part: Path) -> str:
        digest = hashlib.sha256()
        try:
            with source.open("rb") as stream, part.open("wb") as sink:
                while piece := stream.read(CHUNK):
                    sink.write(piece)
                    digest.update(piece)
                    self.task.advance(len(piece))
        except FileNotFoundError:
            raise MissingError(f"{source}: no such file", hint="the index or find-links names it") from None
        return digest.hexdigest()

    def _stream(self, download: Download, part: Path) -> str:
        """Append to `part` until the server has no more, through broken connections and short answers."""
        digest, have = _hash_of_part(part)
        self.task.advance(have)
        failure = "the answer was cut short each time"
        for attempt in range(ATTEMPTS):
            if attempt and self.stop.wait(min(PAUSE_SECONDS * 2 ** (attempt - 1), 10.0)):
                raise _Stopped
            try:
                if self._append(download, part, digest, have):
                    return digest.hexdigest()
            except _RestartFromZero:
                part.unlink(missing_ok=True)
            except (requests.RequestException, HTTPError, OSError) as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise MissingError(
                        f"no space left in {part.parent} while downloading {download.filename}",
                        hint="free some space, or set WHEELFERRY_CACHE to a larger disk",
                    ) from None
                failure = str(error)
            before = have
            digest, have = _hash_of_part(part)
            self.task.advance(min(0, have - before))
        raise MissingError(
            f"{download.url}: gave up after {ATTEMPTS} attempts ({failure})",
            hint="check the network, the proxy and pip's index settings; what arrived is kept and continued",
        )

    def _append(self, download: Download, part: Path, digest: "hashlib._Hash", have: int) -> bool:
        """One request from byte `have` on; returns whether the file is complete."""
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with self.session.get(
            download.url,
            headers=headers,
            stream=True,
            timeout=TIMEOUT_SECONDS,
            **self.index.access(download.url, self.session),
        ) as response:
            if have and not _continues(response, have) and response.status_code in (200, 206, 416):
                raise _RestartFromZero
            if response.status_code in (401, 403, 404, 410):
                raise MissingError(
                    f"{download.url}: the server answers {response.status_code} {response.reason}",
                    hint="check the index and the credentials in pip's configuration or netrc",
                )
            response.raise_for_status()
            expected = _expected_end(response, have)
            with part.open("ab") as sink:
                while piece := response.raw.read(PIECE_BYTES, decode_content=False):
                    if self.stop.is_set():
                        raise _Stopped
                    sink.write(piece)
                    digest.update(piece)
                    have += len(piece)
                    self.task.advance(len(piece))
        return expected is None or have >= expected

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
        except requests.RequestException:
            return download  # the download itself will say what is wrong
        length = response.headers.get("Content-Length", "")
        return replace(download, size=int(length)) if response.ok and length.isdigit() else download


def _local_path(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    # the host of a file: URL is that of a Windows share: file://server/share/x is \\\\server\\share\\x
    share = f"//{parts.netloc}" if os.name == "nt" and parts.netloc not in ("", "localhost") else ""
    return Path(url2pathname(share + parts.path))


def _hash_of_part(part: Path) -> tuple["hashlib._Hash", int]:
    """The running hash of what arrived so far, and how many bytes that is."""
    digest = hashlib.sha256()
    have = 0
    if part.is_file():
        with part.open("rb") as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
                have += len(piece)
    return digest, have


def _continues(response: requests.Response, have: int) -> bool:
    """Whether the answer really starts at byte `have`."""
    stated = response.headers.get("Content-Range", "")
    return response.status_code == 206 and stated.startswith(f"bytes {have}-")


def _expected_end(response: requests.Response, have: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None
