"""OSV's databases: asked over the network, or in a file as OSV exports it and as `audit --save` writes it.

The service's interface: google.github.io/osv.dev/api. An export is a zip with one JSON file for each record.
"""

import datetime as dt
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from packaging.utils import NormalizedName, canonicalize_name
from urllib3 import Retry

from wheelferry.cache.pip_config import IndexSettings, public_url
from wheelferry.errors import InputError, IntegrityError, MissingError
from wheelferry.inspection.vulnerabilities import ECOSYSTEM, identifier_of, packages_of
from wheelferry.progress import Progress
from wheelferry.system.files import check_folder, write_atomic
from wheelferry.system.threads import in_threads

SERVICE = "https://api.osv.dev"
EXPORT = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"
# Which packages a saved database knows, and since when; OSV's exports have no such member.
_ABOUT = "wheelferry.json"
_FORMAT = 1
_BATCH = 500  # OSV answers at most a thousand queries at once
_PAGES = 100  # more than any package has
_CONNECTIONS = 8
_TIMEOUT_SECONDS = (15, 60)
_RECORD_BYTES = 16_000_000  # the largest of today have one
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)
_OFFLINE = "try again later, give another service with --from, or a file with --database"


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """Records about some packages.

    `records` are the documents by identifier, `date` when they were true, `place` where they are from.
    `covers` are the packages that it knows of, None for all of PyPI.
    """

    records: Mapping[str, Mapping[str, Any]]
    date: dt.datetime
    place: str
    covers: frozenset[NormalizedName] | None

    def knows(self, name: NormalizedName) -> bool:
        """Whether a package without a record is one without a known vulnerability."""
        return self.covers is None or name in self.covers


def ask(
    names: Collection[NormalizedName], service: str, index: IndexSettings, progress: Progress
) -> Database:
    """Everything that an OSV service knows about packages, in all their versions.

    Raises MissingError when it does not answer, or not as OSV does.
    """
    with (
        index.session(connections=_CONNECTIONS, retries=_retries()) as session,
        progress.task("ask for vulnerabilities") as task,
    ):
        asking = _Service(base=service.rstrip("/"), session=session, index=index)
        identifiers = asking.about(sorted(names))
        task.total(len(identifiers))

        def fetch(identifier: str) -> Mapping[str, Any]:
            document = asking.record(identifier)
            task.advance()
            return document

        documents = in_threads(fetch, identifiers, workers=_CONNECTIONS)
    return Database(
        records=dict(zip(identifiers, documents, strict=True)),
        date=dt.datetime.now(dt.UTC),
        place=public_url(service),
        covers=frozenset(names),
    )


def _retries() -> Retry:
    return Retry(
        total=3,
        backoff_factor=0.5,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,  # its POST is a question too
        respect_retry_after_header=False,  # an hour is not worth waiting for
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Service:
    """An OSV service and how it is reached."""

    base: str
    session: requests.Session
    index: IndexSettings

    def about(self, names: Iterable[str]) -> list[str]:
        """The identifiers of all records about packages."""
        queries: list[dict[str, Any]] = [
            {"package": {"ecosystem": ECOSYSTEM, "name": name}} for name in names
        ]
        found: set[str] = set()
        for _ in range(_PAGES):
            if not queries:
                return sorted(found)
            following = []
            for start in range(0, len(queries), _BATCH):
                batch = queries[start : start + _BATCH]
                for query, result in zip(batch, self._batch(batch), strict=True):
                    found.update(self._identifiers(result))
                    if result.get("next_page_token"):
                        following.append({**query, "page_token": result["next_page_token"]})
            queries = following
        raise MissingError(f"{public_url(self.base)}: its answers have no end", hint=_OFFLINE)

    def _batch(self, queries: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
        answer = self._json("POST", "/v1/querybatch", {"queries": queries})
        results = answer.get("results")
        if not isinstance(results, list) or len(results) != len(queries):
            raise MissingError(f"{public_url(self.base)} does not answer as OSV does", hint=_OFFLINE)
        return [result or {} for result in results]

    def _identifiers(self, result: Mapping[str, Any]) -> list[str]:
        try:
            return [identifier_of(item) for item in result.get("vulns") or []]
        except ValueError as error:
            raise MissingError(f"{public_url(self.base)}: {error}", hint=_OFFLINE) from None

    def record(self, identifier: str) -> Mapping[str, Any]:
        """One record."""
        document = self._json("GET", f"/v1/vulns/{quote(identifier, safe='')}")
        if document.get("id") != identifier:
            raise MissingError(
                f"{public_url(self.base)} gives another record for {identifier}", hint=_OFFLINE
            )
        return document

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        url = self.base + path
        try:
            answer = self.session.request(
                method, url, json=body, timeout=_TIMEOUT_SECONDS, **self.index.access(url, self.session)
            )
            document = answer.json() if answer.ok else None
        except requests.JSONDecodeError:
            document = None
        except requests.RequestException as error:
            raise MissingError(f"{public_url(url)}: no answer ({error})", hint=_OFFLINE) from None
        if not answer.ok:
            said = f"the server answers {answer.status_code} {answer.reason}"
            raise MissingError(f"{public_url(url)}: {said}", hint=_OFFLINE)
        if not isinstance(document, dict):
            raise MissingError(f"{public_url(url)} does not answer as OSV does", hint=_OFFLINE)
        return document


def read_database(
    path: Path, names: Collection[NormalizedName], progress: Progress, *, place: str | None = None
) -> Database:
    """What the database in a file knows about packages.

    Raises InputError when there is no such file, IntegrityError for one that is damaged or is no database of
    PyPI. `place` is what it is called, by default the file's name.
    """
    shown = place or path.name
    try:
        with zipfile.ZipFile(path) as archive, progress.task(f"read {shown}", unit="bytes") as task:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".json")]
            about = _about(archive) if _ABOUT in archive.namelist() else None
            task.total(sum(entry.file_size for entry in entries))
            return _read(archive, entries, about, names, shown, task.advance)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file", hint="write one where there is a network: wheelferry audit --save FILE"
        ) from None
    except _UNREADABLE as error:
        raise IntegrityError(
            f"{path}: not a readable database ({error})", hint="save or fetch it again"
        ) from None
    except ValueError as error:
        raise IntegrityError(f"{path}: {error}", hint="save or fetch it again") from None


def _read(
    archive: zipfile.ZipFile,
    entries: Iterable[zipfile.ZipInfo],
    about: tuple[dt.datetime, frozenset[NormalizedName]] | None,
    names: Collection[NormalizedName],
    place: str,
    advance: Callable[[int], None],
) -> Database:
    """The records of an open archive; ValueError for what is none."""
    wanted = frozenset(names)
    records: dict[str, Mapping[str, Any]] = {}
    newest, of_pypi = "", about is not None
    for entry in entries:
        if entry.filename == _ABOUT:
            continue
        if entry.file_size > _RECORD_BYTES:
            raise ValueError(f"{entry.filename} has {entry.file_size} bytes, which no record has")
        try:
            document = json.loads(archive.read(entry))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{entry.filename}: {error}") from None
        concerned = packages_of(document)
        of_pypi = of_pypi or bool(concerned)
        newest = max(newest, str(document.get("modified", "")))
        if concerned & wanted:
            records[identifier_of(document)] = document
        advance(entry.file_size)
    if not of_pypi:
        raise ValueError(f"has no record about {ECOSYSTEM}")
    date, covers = about or (_date(newest), None)
    return Database(records=records, date=date, place=place, covers=covers)


def _about(archive: zipfile.ZipFile) -> tuple[dt.datetime, frozenset[NormalizedName]]:
    """The date and the packages of a saved database."""
    try:
        document = json.loads(archive.read(_ABOUT))
        if document["format"] != _FORMAT:
            raise ValueError(f"has format {document['format']}, this wheelferry reads {_FORMAT}")
        return _date(document["date"]), frozenset(canonicalize_name(name) for name in document["packages"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{_ABOUT} makes no sense ({type(error).__name__}: {error})") from None


def _date(text: str) -> dt.datetime:
    date = dt.datetime.fromisoformat(text)
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)


def check_database_file(path: Path) -> None:
    """Raise InputError unless `path` is free, or an earlier database and nothing else."""
    check_folder(path.parent, option="--save")
    if path.is_dir():
        raise InputError(f"{path} is a folder", hint="name a file for --save, such as osv.zip")
    if not path.exists():
        return
    try:
        with zipfile.ZipFile(path) as archive:
            ours = all(name.endswith(".json") and "/" not in name for name in archive.namelist())
    except _UNREADABLE:
        ours = False
    if not ours:
        raise InputError(f"{path} is something other than a database", hint="name another file for --save")


def write_database(path: Path, database: Database) -> None:
    """Write a database about some packages, aside first, so that `read_database` gives it back."""
    about = {
        "format": _FORMAT,
        "date": database.date.isoformat(timespec="seconds"),
        "source": database.place,
        "packages": sorted(database.covers or ()),
    }
    texts = {
        _ABOUT: about,
        **{f"{name}.json": document for name, document in sorted(database.records.items())},
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, document in texts.items():
            # ZipInfo by itself has a fixed date
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, json.dumps(document, indent=1, sort_keys=True) + "\n")
    write_atomic(path, written.getvalue())
