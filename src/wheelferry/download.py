"""Downloads into the store: in parallel, resumed where they stopped, hashed while they stream."""

import hashlib
import shutil
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
from wheelferry.progress import Progress, Task
from wheelferry.store import Entry, Store

ATTEMPTS = 5
CONNECTIONS = 8
TIMEOUT_SECONDS = (15, 60)  # to connect, and between two pieces


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """A file to fetch: a URL (or ``file://``), the name it goes by, and its SHA-256 if the index has one."""

    url: str
    filename: str
    sha256: str | None
    size: int | None = None


class _Stopped(Exception):
    """Another download failed; this one need not finish."""


def download_all(
    downloads: Iterable[Download], store: Store, index: IndexSettings, progress: Progress
) -> dict[str, Entry]:
    """Bring every file into the store and return its entry by URL; what is there already is only re-hashed.

    Raises IntegrityError for bytes that are not the expected ones, MissingError when a host does not
    answer or has no such file. Whatever arrived stays: the next call continues.
    """
    wanted = list(dict.fromkeys(downloads))
    present, missing = _split(wanted, store, progress)
    with index.session(connections=CONNECTIONS) as session:
        sized = _with_sizes(missing, session, index)
        require_space(
            store.root, sum(d.size or 0 for d in sized) - _resumable(sized, store), purpose="download"
        )
        with progress.task("download", unit="bytes") as task:
            task.total(sum(d.size or 0 for d in sized))
            # the largest first, so that none of them is left alone at the end
            sized.sort(key=lambda d: d.size or 0, reverse=True)
            entries = _in_parallel(sized, store, session, index, task)
    return present | entries


def _split(
    wanted: list[Download], store: Store, progress: Progress
) -> tuple[dict[str, Entry], list[Download]]:
    """What the store holds (re-hashed, in two threads) and what is to be fetched."""
    candidates = [d for d in wanted if d.sha256 and store.has(d.sha256)]
    with progress.task("re-hash cached files", unit="bytes") as task:
        task.total(sum(store.path(d.sha256).stat().st_size for d in candidates if d.sha256))
        with ThreadPoolExecutor(max_workers=2) as pool:
            paths = list(pool.map(lambda d: store.take(d.sha256 or "", on_bytes=task.advance), candidates))
    present = {
        d.url: Entry(sha256=d.sha256 or "", filename=d.filename, size=path.stat().st_size)
        for d, path in zip(candidates, paths, strict=True)
        if path
    }
    return present, [d for d in wanted if d.url not in present]


def _with_sizes(missing: list[Download], session: requests.Session, index: IndexSettings) -> list[Download]:
    def size(download: Download) -> Download:
        if download.size is not None or _local_path(download.url):
            local = _local_path(download.url)
            return replace(download, size=local.stat().st_size) if local and local.is_file() else download
        try:
            response = session.head(
                download.url,
                allow_redirects=True,
                timeout=TIMEOUT_SECONDS,
                headers={"Accept-Encoding": "identity"},
                auth=index.auth_for(download.url),
                verify=not index.trusts(download.url) and session.verify,
            )
            length = response.headers.get("Content-Length", "")
        except requests.RequestException:
            return download  # only the order and the space check want it; the download itself will speak
        return replace(download, size=int(length)) if response.ok and length.isdigit() else download

    with ThreadPoolExecutor(max_workers=2 * CONNECTIONS) as pool:
        return list(pool.map(size, missing))


def _resumable(downloads: list[Download], store: Store) -> int:
    parts = [store.partial / f"{d.sha256}.part" for d in downloads if d.sha256]
    return sum(part.stat().st_size for part in parts if part.is_file())


def _in_parallel(
    downloads: list[Download], store: Store, session: requests.Session, index: IndexSettings, task: Task
) -> dict[str, Entry]:
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
        futures = {
            pool.submit(_one, download, store, session, index, task, stop): download for download in downloads
        }
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [f for f in done if f.exception() and not isinstance(f.exception(), _Stopped)]
            if failed:
                raise failed[0].exception() or AssertionError
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return {futures[future].url: future.result() for future in futures}


def _one(
    download: Download,
    store: Store,
    session: requests.Session,
    index: IndexSettings,
    task: Task,
    stop: threading.Event,
) -> Entry:
    """Fetch one file, trying again where the connection broke; a wrong hash gets one clean retry."""
    name = download.sha256 or hashlib.sha256(download.url.encode()).hexdigest()
    with store.lock(f"download-{name}"):
        if download.sha256 and (path := store.take(download.sha256)):
            return Entry(sha256=download.sha256, filename=download.filename, size=path.stat().st_size)
        store.partial.mkdir(parents=True, exist_ok=True)
        part = store.partial / f"{name}.part"
        resumed = part.is_file()
        for clean in (False, True):
            local = _local_path(download.url)
            digest = (
                _copy(local, part, task) if local else _stream(download, part, session, index, task, stop)
            )
            if download.sha256 in (None, digest):
                size = part.stat().st_size
                store.adopt(part, digest)
                return Entry(sha256=digest, filename=download.filename, size=size)
            part.unlink()
            if clean or not resumed:
                break
        raise IntegrityError(
            f"{download.filename}: SHA-256 is {digest}, but the index says {download.sha256} ({download.url})",
            hint="the file or the index was altered on the way; nothing was kept. Try again or ask the mirror's owner",
        )


def _local_path(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _copy(source: Path, part: Path, task: Task) -> str:
    try:
        shutil.copyfile(source, part)
    except FileNotFoundError:
        raise MissingError(f"{source}: no such file", hint="the index or --find-links names it") from None
    digest = hashlib.sha256()
    with part.open("rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
            task.advance(len(piece))
    return digest.hexdigest()


def _stream(
    download: Download,
    part: Path,
    session: requests.Session,
    index: IndexSettings,
    task: Task,
    stop: threading.Event,
) -> str:
    """Append to `part` until the server has no more; returns the hash of all of it."""
    digest, have = _hash_of_part(part)
    task.advance(have)
    failure: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            stop.wait(min(2.0**attempt, 10.0))
        try:
            have, complete = _append(download, part, digest, have, session, index, task, stop)
            if complete:
                return digest.hexdigest()
            failure = None
        except _RestartFromZero:
            task.advance(-have)
            part.unlink(missing_ok=True)
            digest, have = hashlib.sha256(), 0
        except (requests.RequestException, HTTPError, OSError) as error:
            if isinstance(error, OSError) and error.errno == 28:
                raise MissingError(
                    f"no space left while downloading {download.filename} to {part.parent}"
                ) from None
            failure = error
            digest, have = _hash_of_part(part)
    raise MissingError(
        f"{download.url}: gave up after {ATTEMPTS} attempts ({failure or 'the answer was cut short each time'})",
        hint="check the network, the proxy and pip's index settings; what arrived is kept and continued",
    )


class _RestartFromZero(Exception):
    """The server does not continue where we stopped."""


def _hash_of_part(part: Path) -> tuple["hashlib._Hash", int]:
    digest = hashlib.sha256()
    have = 0
    if part.is_file():
        with part.open("rb") as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
                have += len(piece)
    return digest, have


def _append(
    download: Download,
    part: Path,
    digest: "hashlib._Hash",
    have: int,
    session: requests.Session,
    index: IndexSettings,
    task: Task,
    stop: threading.Event,
) -> tuple[int, bool]:
    """One request from byte `have` on; returns how many bytes there are then and whether that is all."""
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with session.get(
        download.url,
        headers=headers,
        stream=True,
        timeout=TIMEOUT_SECONDS,
        auth=index.auth_for(download.url),
        verify=not index.trusts(download.url) and session.verify,
    ) as response:
        if response.status_code == 416 and have:
            raise _RestartFromZero
        if response.status_code in (401, 403, 404, 410):
            raise MissingError(
                f"{download.url}: the server answers {response.status_code} {response.reason}",
                hint="check the index and the credentials in pip's configuration or netrc",
            )
        response.raise_for_status()
        if have and not _continues(response, have):
            raise _RestartFromZero
        expected = _expected_end(response, have)
        with part.open("ab") as sink:
            while piece := response.raw.read(CHUNK, decode_content=False):
                if stop.is_set():
                    raise _Stopped
                sink.write(piece)
                digest.update(piece)
                have += len(piece)
                task.advance(len(piece))
    return have, expected is None or have >= expected


def _continues(response: requests.Response, have: int) -> bool:
    """Whether the answer really starts at byte `have`."""
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
        f"bytes {have}-"
    )


def _expected_end(response: requests.Response, have: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None
