"""Records in OSV's format, made up, and a server on loopback that answers as OSV's does."""

import json
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# High in CVSS 3.1 (8.8), medium in 4.0 (6.9).
HIGH = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"}
MEDIUM_4 = {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N"}


def record(
    identifier: str,
    package: str,
    *events: Mapping[str, str],
    versions: Iterable[str] = (),
    ecosystem: str = "PyPI",
    kind: str = "ECOSYSTEM",
    modified: str = "2026-01-02T03:04:05.678901Z",
    **more: Any,
) -> dict[str, Any]:
    """A record about one range of a package's versions."""
    affected: dict[str, Any] = {"package": {"ecosystem": ecosystem, "name": package}}
    affected["ranges"] = [{"type": kind, "events": list(events)}] if events else []
    affected["versions"] = list(versions)
    return {"id": identifier, "modified": modified, "affected": [affected], **more}


def export(path: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """A zip as OSV publishes one."""
    with zipfile.ZipFile(path, "w") as archive:
        for document in records:
            archive.writestr(f"{document['id']}.json", json.dumps(document))
    return path


class OsvServer:
    """Answers ``querybatch`` and ``vulns`` from its records, a page of two identifiers at a time.

    The first `failures` requests get a 503; `answer` replaces whatever would be said; `files` are served
    by their paths.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]]) -> None:
        self.records = {document["id"]: document for document in records}
        self.requests: list[str] = []
        self.failures = 0
        self.answer: bytes | None = None
        self.files: dict[str, bytes] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.reply(self, {"results": [outer.result(query) for query in body["queries"]]})

            def do_GET(self) -> None:
                outer.reply(self, outer.records.get(self.path.rpartition("/")[2]))

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def result(self, query: Mapping[str, Any]) -> dict[str, Any]:
        package = query["package"]
        assert package["ecosystem"] == "PyPI"
        ids = sorted(
            identifier
            for identifier, document in self.records.items()
            if any(item["package"] == package for item in document["affected"])
        )
        start = int(query.get("page_token", "0"))
        page = {"vulns": [{"id": i, "modified": "2026-01-02T03:04:05Z"} for i in ids[start : start + 2]]}
        if not ids:
            return {}
        return {**page, "next_page_token": str(start + 2)} if start + 2 < len(ids) else page

    def reply(self, handler: BaseHTTPRequestHandler, document: object) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        if self.failures:
            self.failures -= 1
            handler.send_error(503)
            return
        data = self.answer or self.files.get(handler.path) or json.dumps(document).encode()
        handler.send_response(200 if document or handler.path in self.files else 404)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


@contextmanager
def serving(records: Iterable[Mapping[str, Any]]) -> Iterator[OsvServer]:
    """A server for as long as it is wanted."""
    made = OsvServer(records)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()
