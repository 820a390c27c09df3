"""Downloads from servers that stall, drip, hang up, change their mind, or answer what nobody asked for."""

import contextlib
import hashlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from effort import trials
from wheelferry.cache import download as module
from wheelferry.cache.download import Download, download_all
from wheelferry.cache.pip_config import IndexSettings
from wheelferry.cache.store import Store
from wheelferry.errors import IntegrityError, MissingError
from wheelferry.progress import Silent

OLD = random.Random(1).randbytes(1_000_000)
NEW = random.Random(2).randbytes(1_000_000)
CHAOS = trials(6, 200)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Request(BaseHTTPRequestHandler):
    """One request; the methods are what a server may do with it."""

    server: "Server"

    def do_HEAD(self) -> None:
        self.head(200, length=self.server.head_length or len(self.server.content))

    def do_GET(self) -> None:
        self.server.asked.append((self.headers.get("Range", "all"), self.headers.get("If-Range", "")))
        with contextlib.suppress(OSError):  # the client hung up
            self.server.answer(self, len(self.server.asked))
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    @property
    def start(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def head(self, status: int, *, length: int | str | None, **headers: str) -> "Request":
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        return self

    def write(self, data: bytes) -> "Request":
        self.wfile.write(data)
        return self

    def pause(self, seconds: float) -> "Request":
        self.wfile.flush()
        time.sleep(seconds)
        return self

    def fail(self, status: int, **headers: str) -> "Request":
        return self.head(status, length=0, **headers)

    def serve(self, content: bytes, etag: str = "", *, upto: int | None = None, **headers: str) -> "Request":
        """As a good server does, If-Range included; with `upto` it hangs up at that byte of the file."""
        versions = {"ETag": etag} if etag else {}
        same = self.headers.get("If-Range", etag) == etag
        start = self.start if same else 0
        if start > len(content):
            return self.fail(416)
        ranged = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self.head(206 if start else 200, length=len(content) - start, **versions, **ranged, **headers)
        return self.write(content[start:upto])

    def reset(self) -> "Request":
        """End the connection as a crashed machine does."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        return self


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.asked: list[tuple[str, str]] = []
        self.content = OLD
        self.head_length: str | None = None
        self.answer: Callable[[Request, int], object] = lambda request, _: request.serve(self.content)
        self.url = f"http://127.0.0.1:{self.server_port}/data.bin"

    def handle_error(self, *_: object) -> None:
        pass  # a connection that the test itself broke


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "st öre")


def fetch(server: Server, store: Store, expected: str | None = sha256(OLD)) -> bytes:
    item = Download(url=server.url, filename="data.bin", sha256=expected)
    entry = download_all([item], store, IndexSettings(), Silent())[server.url]
    data = store.path(entry.sha256).read_bytes()
    assert sha256(data) == entry.sha256
    assert list(store.partial.iterdir()) == []
    return data


def unfinished(store: Store) -> bytes:
    """What an interrupted download left."""
    (part,) = store.partial.glob("*.part")
    return part.read_bytes()


def break_off(server: Server, store: Store, expected: str | None, etag: str) -> None:
    """A run that ends with the first 300 kB."""
    server.answer = lambda request, number: (
        request.serve(OLD, etag, upto=300_000) if number == 1 else request.fail(500)
    )
    with pytest.raises(MissingError, match="gave up"):
        fetch(server, store, expected)
    assert unfinished(store) == OLD[:300_000]
    server.asked.clear()


def test_a_server_that_hangs_up_often_is_outlasted(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 1 << 14)
    server.answer = lambda request, _: request.serve(OLD, upto=request.start + 50_000)
    assert fetch(server, store) == OLD
    assert len(server.asked) == 20 > module.ATTEMPTS


def test_a_server_that_brings_too_little_each_time_is_given_up_on(server: Server, store: Store) -> None:
    server.answer = lambda request, _: request.serve(OLD, upto=request.start + 1)
    with pytest.raises(MissingError, match="gave up after 5 attempts"):
        fetch(server, store)
    assert unfinished(store) == OLD[:5]


def test_a_reset_connection_is_continued(server: Server, store: Store) -> None:
    def answer(request: Request, number: int) -> None:
        request.serve(OLD, upto=200_000 if number == 1 else None)
        if number == 1:
            request.pause(0.2)  # a reset also throws away what was not read yet
            request.reset()

    server.answer = answer
    assert fetch(server, store) == OLD
    assert server.asked[1] == ("bytes=200000-", "")


def test_a_server_that_stalls_is_asked_again(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", (1, 0.3))

    def answer(request: Request, number: int) -> None:
        request.serve(OLD, upto=200_000 if number == 1 else None)
        if number == 1:
            time.sleep(2)

    server.answer = answer
    assert fetch(server, store) == OLD
    assert [asked for asked, _ in server.asked] == ["all", "bytes=200000-"]


def test_a_server_that_drips_is_asked_again(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes before the time is up; all of them would take a day."""
    monkeypatch.setattr(module, "SLOWEST_SECONDS", 0.3)

    def drip(request: Request, number: int) -> None:
        if number > 1:
            request.serve(OLD)
            return
        request.serve(OLD, upto=1000)
        for place in range(1000, 1200):
            request.wfile.write(OLD[place : place + 1])
            time.sleep(0.05)

    server.answer = drip
    begun = time.monotonic()
    assert fetch(server, store) == OLD
    assert time.monotonic() - begun < 8
    assert len(server.asked) == 2
    assert server.asked[1] != ("all", "")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_waited_out_as_the_server_asks(
    server: Server, store: Store, status: int
) -> None:
    server.answer = lambda request, number: (
        request.fail(status, Retry_After="1") if number == 1 else request.serve(OLD)
    )
    begun = time.monotonic()
    assert fetch(server, store) == OLD
    assert time.monotonic() - begun >= 1


def test_no_server_keeps_us_for_hours(server: Server, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1))
    waits = ["99999999", tomorrow, "soon", "-1"]
    server.answer = lambda request, number: (
        request.fail(503, Retry_After=waits[number - 1]) if number <= len(waits) else request.serve(OLD)
    )
    assert fetch(server, store) == OLD


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 407, 410, 451])
def test_a_refusal_is_final(server: Server, store: Store, status: int) -> None:
    server.answer = lambda request, _: request.fail(status, Proxy_Authenticate="Basic")
    with pytest.raises(MissingError, match=f"answers {status}"):
        fetch(server, store)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 226, 304])
@pytest.mark.parametrize("expected", [sha256(OLD), None])
def test_what_is_no_file_is_never_taken_for_one(
    server: Server, store: Store, status: int, expected: str | None
) -> None:
    server.answer = lambda request, _: request.fail(status)
    with pytest.raises(MissingError, match=f"answers {status}"):
        fetch(server, store, expected)
    assert not store.objects.exists()


@pytest.mark.parametrize(
    "stated",
    ["bytes 300001-999999/1000000", "bytes 0-999999/1000000", "bytes */1000000", "lines 300000-1/2", "", "²"],
)
def test_a_wrong_range_is_not_appended(server: Server, store: Store, stated: str) -> None:
    break_off(server, store, sha256(OLD), "")
    server.answer = lambda request, _: (
        request.head(206, length=700_000, **({"Content_Range": stated} if stated else {})).write(
            NEW[300_000:]
        )
        if request.start
        else request.serve(OLD)
    )
    assert fetch(server, store) == OLD
    assert [asked for asked, _ in server.asked] == ["bytes=300000-", "all"]


def test_a_range_nobody_asked_for_is_not_the_file(server: Server, store: Store) -> None:
    server.answer = lambda request, number: (
        request.head(206, length=500_000, Content_Range="bytes 500000-999999/1000000").write(OLD[500_000:])
        if number == 1
        else request.serve(OLD)
    )
    assert fetch(server, store, None) == OLD


@pytest.mark.parametrize("expected", [sha256(OLD), None])
def test_a_server_that_gives_less_of_a_range_than_was_asked_for(
    server: Server, store: Store, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9110, 15.3.7: the end of the range is not the end of the file."""
    monkeypatch.setattr(module, "PIECE_BYTES", 1 << 14)

    def answer(request: Request, number: int) -> None:
        if number == 1:
            request.serve(OLD, '"1"', upto=100_000)
            return
        start, end = request.start, min(request.start + 200_000, len(OLD))
        request.head(206, length=end - start, Content_Range=f"bytes {start}-{end - 1}/{len(OLD)}", ETag='"1"')
        request.wfile.write(OLD[start:end])

    server.answer = answer
    assert fetch(server, store, expected) == OLD


def test_all_bytes_are_there_but_nobody_said_so(server: Server, store: Store) -> None:
    """A kill between the last byte and the renaming costs no second download."""
    store.partial.mkdir(parents=True)
    (store.partial / f"{sha256(OLD)}.part").write_bytes(OLD)
    assert fetch(server, store) == OLD
    assert server.asked == []


def test_the_rest_is_asked_for_of_the_same_version(server: Server, store: Store) -> None:
    break_off(server, store, None, '"1"')
    server.answer = lambda request, _: request.serve(OLD, '"1"')
    assert fetch(server, store, None) == OLD
    assert server.asked == [("bytes=300000-", '"1"')]


@pytest.mark.parametrize("heeds", [True, False], ids=["heeds If-Range", "does not"])
@pytest.mark.parametrize("expected", [sha256(NEW), None], ids=["known hash", "no hash"])
def test_a_file_that_changed_meanwhile_is_not_mixed(
    server: Server, store: Store, expected: str | None, heeds: bool
) -> None:
    break_off(server, store, expected, '"1"')

    def answer(request: Request, _: int) -> None:
        if request.start and not heeds:
            start = request.start
            request.head(
                206, length=len(NEW) - start, ETag='"2"', Content_Range=f"bytes {start}-999999/1000000"
            )
            request.wfile.write(NEW[start:])
        else:
            request.serve(NEW, '"2"')

    server.answer = answer
    assert fetch(server, store, expected) == NEW


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_version_and_hash_an_interrupted_download_begins_again(
    server: Server, store: Store, etag: str
) -> None:
    server.answer = lambda request, number: (
        request.serve(OLD, etag, upto=300_000) if number == 1 else request.serve(NEW, etag)
    )
    assert fetch(server, store, None) == NEW
    assert [asked for asked, _ in server.asked] == ["all", "all"]


def test_a_change_within_one_run_costs_a_second_download_and_no_error(server: Server, store: Store) -> None:
    """Two mirrors behind one address: what they give does not fit together, but one of them is right."""
    server.answer = lambda request, number: (
        request.serve(NEW, upto=300_000) if number == 1 else request.serve(OLD)
    )
    assert fetch(server, store) == OLD
    assert [asked for asked, _ in server.asked] == ["all", "bytes=300000-", "all"]


def test_an_end_that_was_not_announced_is_not_believed_at_once(server: Server, store: Store) -> None:
    """Without a length a broken connection looks like the end."""

    def answer(request: Request, number: int) -> None:
        request.head(200, length=None)
        request.wfile.write(OLD if number > 1 else OLD[:300_000])

    server.answer = answer
    assert fetch(server, store) == OLD
    assert [asked for asked, _ in server.asked] == ["all", "all"]


def test_a_chunked_answer_that_breaks_is_continued(server: Server, store: Store) -> None:
    def answer(request: Request, number: int) -> None:
        if number > 1:
            request.serve(OLD)
            return
        request.protocol_version = "HTTP/1.1"
        request.head(200, length=None, Transfer_Encoding="chunked")
        request.wfile.write(b"%x\r\n" % 400_000 + OLD[:100_000])

    server.answer = answer
    assert fetch(server, store) == OLD
    assert server.asked[1][0] == "bytes=100000-"


@pytest.mark.parametrize("length", ["²", "-1", "9" * 5000, "12, 12", "0x10", "1e6"])
def test_a_length_that_is_no_number_does_no_harm(server: Server, store: Store, length: str) -> None:
    server.head_length = length
    assert fetch(server, store) == OLD


@pytest.mark.parametrize(
    "said", [b"", b"\0" * 100, b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200\r\nContent-Length: \xb2\r\n\r\n"]
)
def test_what_is_no_answer_is_named(server: Server, store: Store, said: bytes) -> None:
    server.answer = lambda request, _: request.write(said)
    with pytest.raises((MissingError, IntegrityError), match=r"data\.bin"):
        fetch(server, store)
    assert not store.objects.exists()


def test_a_folder_is_no_file(tmp_path: Path, store: Store) -> None:
    item = Download(url=tmp_path.as_uri(), filename="data.bin", sha256=None)
    with pytest.raises(MissingError, match="directory"):
        download_all([item], store, IndexSettings(), Silent())


@pytest.mark.parametrize("seed", range(CHAOS))
def test_whatever_a_server_does_the_bytes_are_right_or_there_is_an_error(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Every answer is drawn by lot; runs are repeated until one succeeds."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", (1, 0.1))
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.01)
    chance = random.Random(seed)
    truth = sha256(OLD) if seed % 2 else None
    moods: list[Callable[[Request], object]] = [
        lambda r: r.serve(OLD, '"1"'),
        lambda r: r.serve(OLD, '"1"', upto=chance.randrange(len(OLD))),
        lambda r: r.serve(NEW, '"2"', upto=chance.randrange(len(NEW))),
        lambda r: r.serve(OLD, '"1"', upto=chance.randrange(len(OLD))).reset(),
        lambda r: r.serve(OLD, '"1"', upto=chance.randrange(len(OLD))).pause(0.2),
        lambda r: r.fail(chance.choice([429, 500, 502, 503]), Retry_After="5"),
        lambda r: r.fail(chance.choice([204, 206, 304, 416])),
        lambda r: (
            r.head(
                206, length=10, Content_Range=f"bytes {chance.randrange(10**6)}-{10**6}/{10**6}", ETag='"1"'
            ),
            r.wfile.write(NEW[:10]),
        ),
        lambda r: r.write(chance.randbytes(50)),
    ]
    server.answer = lambda request, _: chance.choice(moods)(request)
    for _ in range(50):
        try:
            found = fetch(server, store, truth)
        except (MissingError, IntegrityError):
            continue
        assert found == OLD or (truth is None and found == NEW)
        return
    pytest.fail("no run of fifty got the file")
