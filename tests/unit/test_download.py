"""Downloads against a server on loopback that truncates, lies about ranges, fails, or sends wrong bytes."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wheelferry.cache import download as module
from wheelferry.cache.download import Download, download_all
from wheelferry.cache.pip_config import IndexSettings
from wheelferry.cache.store import Store
from wheelferry.errors import IntegrityError, MissingError
from wheelferry.progress import Silent

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves `CONTENT`; `misbehave` may answer a GET in another way by returning True."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.misbehave: Callable[[BaseHTTPRequestHandler, int], bool] = lambda _handler, _number: False
        self.ranges = True
        self.content = CONTENT
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(outer.content)))
                self.end_headers()

            def do_GET(self) -> None:
                outer.requests.append(self.headers.get("Range", "all"))
                if not outer.misbehave(self, len(outer.requests)):
                    outer.serve(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/tiny-1.0-py3-none-any.whl"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        start = 0
        wanted = handler.headers.get("Range")
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        handler.wfile.write(self.content[start:])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    made = Server()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def fetch(server: Server, store: Store, sha256: str | None = SHA256) -> str:
    item = Download(url=server.url, filename="tiny-1.0-py3-none-any.whl", sha256=sha256)
    entries = download_all([item], store, IndexSettings(), Silent())
    return entries[server.url].sha256


def truncate(handler: BaseHTTPRequestHandler, length: int) -> bool:
    """Promise everything, send `length` bytes, hang up."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    handler.wfile.write(CONTENT[:length])
    handler.close_connection = True
    return True


def fail(handler: BaseHTTPRequestHandler, status: int) -> bool:
    handler.send_response(status)
    handler.send_header("Content-Length", "0")
    handler.end_headers()
    return True


def test_a_download_lands_in_the_store_and_a_second_run_asks_nobody(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert fetch(server, store) == SHA256
    assert store.path(SHA256).read_bytes() == CONTENT
    assert fetch(server, store) == SHA256
    assert server.requests == ["all"]


def test_a_broken_connection_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.misbehave = lambda handler, number: number == 1 and truncate(handler, 100_000)
    assert fetch(server, Store(tmp_path)) == SHA256
    assert server.requests == ["all", "bytes=100000-"]


def test_an_interrupted_run_is_continued_by_the_next(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.partial.mkdir(parents=True)
    (store.partial / f"{SHA256}.part").write_bytes(CONTENT[:70_000])
    assert fetch(server, store) == SHA256
    assert server.requests == ["bytes=70000-"]


def test_a_damaged_partial_file_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.partial.mkdir(parents=True)
    (store.partial / f"{SHA256}.part").write_bytes(b"x" * 70_000)
    assert fetch(server, store) == SHA256
    assert server.requests == ["bytes=70000-", "all"]


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.misbehave = lambda handler, number: number == 1 and truncate(handler, 100_000)
    assert fetch(server, Store(tmp_path)) == SHA256
    assert server.requests[-1] == "all"


def test_a_partial_file_longer_than_the_file(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.partial.mkdir(parents=True)
    (store.partial / f"{SHA256}.part").write_bytes(CONTENT + b"more")
    server.misbehave = lambda handler, number: number == 1 and fail(handler, 416)
    assert fetch(server, store) == SHA256


def test_a_server_error_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.misbehave = lambda handler, number: number <= 2 and fail(handler, 503)
    assert fetch(server, Store(tmp_path)) == SHA256
    assert len(server.requests) == 3


def test_a_server_that_never_recovers_is_named_and_what_came_is_kept(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path)
    server.misbehave = lambda handler, number: (
        truncate(handler, 50_000) if number == 1 else fail(handler, 500)
    )
    with pytest.raises(MissingError, match="gave up after"):
        fetch(server, store)
    assert (store.partial / f"{SHA256}.part").stat().st_size == 50_000
    assert not store.has(SHA256)


def test_a_missing_file_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.misbehave = lambda handler, _number: fail(handler, 404)
    with pytest.raises(MissingError, match="answers 404"):
        fetch(server, Store(tmp_path))
    assert len(server.requests) == 1


def test_wrong_bytes_never_get_in(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path)
    server.content = b"evil" + CONTENT[4:]
    with pytest.raises(IntegrityError, match="the index says"):
        fetch(server, store)
    assert not store.has(SHA256)
    assert list(store.partial.iterdir()) == []


def test_a_damaged_object_is_found_and_fetched_again(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path)
    fetch(server, store)
    path = store.path(SHA256)
    path.chmod(0o644)
    path.write_bytes(b"rotten")
    assert fetch(server, store) == SHA256
    assert path.read_bytes() == CONTENT


def test_a_local_file_is_copied_and_hashed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    wheel = tmp_path / "with space ü" / "tiny-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(CONTENT)
    item = Download(url=wheel.as_uri(), filename=wheel.name, sha256=None)
    assert download_all([item], store, IndexSettings(), Silent())[item.url].sha256 == SHA256
    wheel.unlink()
    other = Download(url=wheel.as_uri(), filename=wheel.name, sha256="0" * 64)
    with pytest.raises(MissingError, match="no such file"):
        download_all([other], store, IndexSettings(), Silent())
