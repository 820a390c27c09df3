"""The page's server: who is answered, how pictures are, and that nothing of this machine is told."""

import json
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from numpy.typing import NDArray
from page import acceptance, address, command, queue_of_pictures
from page.installation import Installation
from page.predictions import Instance
from page.queue_of_pictures import PictureQueue
from page.server import make_app
from page.unfit import Unfit
from PIL import Image
from werkzeug.test import TestResponse

HEADERS = {"X-Wheelferry": "1"}
BASE = "http://127.0.0.1:8080"


class Model:
    """Finds one thing in each picture, and none where the picture is black."""

    names = ("cat", "dog")
    keypoint_names = ()
    skeleton = ()
    facts = (("Device", "CPU"),)

    def predict(self, pixels: NDArray[np.uint8]) -> list[Instance]:
        if not pixels.any():
            raise RuntimeError("a secret of /srv/models")
        return [Instance((1, 2, 11, 12), 0.75, 1), Instance((0, 0, 5, 5), 0.25, 0)]


class Client(FlaskClient):
    """Takes whole answers, so that the files they are made of are closed."""

    def open(self, *arguments: Any, **options: Any) -> TestResponse:
        return super().open(*arguments, **{"buffered": True, **options})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A prefix with an environment, as the installer leaves it."""
    apps = tmp_path / "prefix" / "envs" / "1" / "apps"
    (apps.parent / "report" / "smoke").mkdir(parents=True)
    apps.mkdir()
    (tmp_path / "prefix" / ".wheelferry.json").write_text("{}", "utf-8")
    receipt = {
        "bundle": {"recipe": "tiny", "release": "1.0", "digest": "d" * 64, "signed_by": None},
        "date": "2026-11-30T12:00:00+00:00",
        "target": "cp312",
        "suite": {"smoke": {"passed": 2, "failed": 0, "skipped": 0}},
    }
    (apps.parent / "receipt.json").write_text(json.dumps(receipt), "utf-8")
    check = {
        "title": "it <works>", "status": "passed", "reason": "", "values": {"error": 0.5},
        "files": [{"path": "drawn.png", "caption": "what was drawn"}, {"path": "suite.log", "caption": ""}],
    }  # fmt: skip
    report = apps.parent / "report" / "smoke"
    (report / "smoke.json").write_text(json.dumps({"checks": [check], "running": None}), "utf-8")
    Image.new("RGB", (4, 4)).save(report / "drawn.png")
    (report / "suite.log").write_text("secret", "utf-8")
    return apps


@pytest.fixture
def make(home: Path, tmp_path: Path) -> Callable[..., Flask]:
    def make_with(token: str | None = None) -> Flask:
        folder = tmp_path / "pictures"
        folder.mkdir()
        installation = Installation(str(home))
        facts = [*Model.facts, *installation.facts()]
        pictures = PictureQueue(Model(), str(folder))
        app: Flask = make_app(Model(), pictures, installation, installation.records, facts, 8080, token)
        app.test_client_class = Client
        return app

    return make_with


@pytest.fixture
def client(make: Callable[..., Flask]) -> Iterator[FlaskClient]:
    with make().test_client() as client:
        yield client


def picture(colour: tuple[int, int, int] = (200, 0, 0)) -> bytes:
    data = BytesIO()
    Image.new("RGB", (40, 30), colour).save(data, "PNG")
    return data.getvalue()


def send(client: FlaskClient, data: bytes, name: str = "a.png") -> str:
    answer = client.post(f"/api/pictures?name={name}", base_url=BASE, data=data, headers=HEADERS)
    assert answer.status_code == 202, answer.text
    return str(answer.get_json()["id"])


def result(client: FlaskClient, identifier: str) -> dict[str, Any]:
    for _ in range(600):
        answer: dict[str, Any] = client.get(f"/api/pictures/{identifier}", base_url=BASE).get_json()
        if answer["state"] in ("done", "failed"):
            return answer
        time.sleep(0.02)
    raise AssertionError(answer)


def accept(client: FlaskClient, record: dict[str, Any], seen: int = 1) -> TestResponse:
    data = BytesIO()
    Image.new("RGB", (4, 4)).save(data, "JPEG")
    files = [(BytesIO(data.getvalue()), "seen.jpg") for _ in range(seen)]
    form = {"record": json.dumps(record), "picture": files}
    return client.post("/api/records", base_url=BASE, data=form, headers=HEADERS)


def test_a_picture_is_answered_with_what_was_found(client: FlaskClient) -> None:
    identifier = send(client, picture(), "..%2F..%2Fa%20b.png")
    answer = result(client, identifier)
    assert answer["name"] == "a b.png"
    assert (answer["width"], answer["height"]) == (40, 30)
    assert [item["label"] for item in answer["instances"]] == [1, 0]
    assert answer["instances"][0]["box"] == [1, 2, 11, 12]
    assert answer["milliseconds"] >= 0
    shown = client.get(f"/api/pictures/{identifier}.jpg", base_url=BASE)
    assert Image.open(BytesIO(shown.data)).size == (40, 30)
    several = client.get(f"/api/pictures?ids={identifier},nobody", base_url=BASE).get_json()
    assert [several[one]["state"] for one in (identifier, "nobody")] == ["done", "unknown"]


def test_fifty_at_once_are_all_answered_and_one_bad_stops_none(client: FlaskClient, tmp_path: Path) -> None:
    data = [b"nonsense" if n == 7 else picture((0, 0, 0) if n == 9 else (n + 1, 9, 9)) for n in range(50)]
    sent = [send(client, one) for one in data]
    answers = [result(client, identifier) for identifier in sent]
    assert [n for n, answer in enumerate(answers) if answer["state"] == "failed"] == [7, 9]
    assert answers[7]["error"] == "it is no picture, or a damaged one"
    assert answers[9]["error"] == "the model failed on this picture"
    assert "srv" not in json.dumps(answers)
    # nothing is kept but what is shown
    assert {path.suffix for path in (tmp_path / "pictures").iterdir()} == {".jpg"}


def test_too_many_are_told_to_wait(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_of_pictures, "MOST_WAITING", 0)
    answer = client.post("/api/pictures", base_url=BASE, data=b"x", headers=HEADERS)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"


def test_of_old_pictures_the_files_go(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_of_pictures, "MOST_KEPT", 2)
    sent = []
    for _ in range(4):
        sent.append(send(client, picture()))
        result(client, sent[-1])
    assert client.get(f"/api/pictures/{sent[0]}.jpg", base_url=BASE).status_code == 404
    assert client.get(f"/api/pictures/{sent[3]}.jpg", base_url=BASE).status_code == 200


def test_a_file_that_is_too_large_is_refused(client: FlaskClient, tmp_path: Path) -> None:
    data = bytes(queue_of_pictures.LARGEST_PICTURE + 1)
    answer = client.post("/api/pictures", base_url=BASE, data=data, headers=HEADERS)
    assert answer.status_code == 413
    assert answer.get_json()["error"] == "the file is larger than 64 MB"
    stream = BytesIO(data)
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = client.post(
        "/api/pictures", base_url=BASE, input_stream=stream, headers=HEADERS, environ_overrides=chunked
    )
    assert answer.status_code == 413
    assert list((tmp_path / "pictures").iterdir()) == []


@pytest.mark.parametrize("host", ["evil.example:8080", "127.0.0.1:9999", "127.0.0.1", "192.168.1.5:8080"])
def test_another_name_for_this_machine_is_not_answered(client: FlaskClient, host: str) -> None:
    assert client.get("/", base_url=f"http://{host}").status_code == 421
    assert client.get("/api/facts", base_url=f"http://{host}").status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"])
def test_this_machine_is_answered_under_its_own_names(client: FlaskClient, host: str) -> None:
    assert client.get("/", base_url=f"http://{host}").status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, *({**HEADERS, "Origin": origin} for origin in ("http://evil.example", "null"))]
)
def test_another_page_cannot_send_anything(client: FlaskClient, headers: dict[str, str]) -> None:
    for path in ("/api/pictures", "/api/records"):
        assert client.post(path, base_url=BASE, data=b"x", headers=headers).status_code == 403


def test_with_a_token_only_who_has_it_is_answered(make: Callable[..., Flask]) -> None:
    app, base = make("s3cret"), "http://10.0.0.5:8080"
    with app.test_client() as client:
        for path in ("/", "/?token=wrong", "/api/facts", "/static/main.js"):
            assert client.get(path, base_url=base).status_code == 401
        answer = client.get("/?token=s3cret", base_url=base)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert client.get("/api/facts", base_url=base).status_code == 200
    with app.test_client() as client:
        headers = {"Authorization": "Bearer s3cret"}
        assert client.get("/api/facts", base_url=base, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/api/nothing", "/api/pictures/..%2f..%2fetc%2fpasswd", "/records/x/record.json",
        "/records/..%2f1%2freceipt.json/x", "/static/..%2fserver.py", "/checks/smoke/suite.log",
        "/checks/smoke/..%2f..%2freceipt.json", "/checks/none/drawn.png",
    ],
)  # fmt: skip
def test_no_other_file_is_given(client: FlaskClient, path: str) -> None:
    assert client.get(path, base_url=BASE).status_code == 404


def test_no_path_of_this_machine_is_in_any_answer(client: FlaskClient, tmp_path: Path) -> None:
    done = send(client, picture())
    result(client, done)
    record = {"name": "x", "threshold": 0.5, "classes": [], "pictures": [done]}
    answers = [
        *(client.get(path, base_url=BASE) for path in ("/", "/api/facts", "/checks", "/nothing")),
        *(client.get(f"/{path}", base_url=BASE) for path in (f"api/pictures/{done}", "static/x")),
        client.post("/", base_url=BASE, headers=HEADERS),
        accept(client, record),
        accept(client, record, seen=0),
        client.post("/api/records", base_url=BASE, data={"record": "{"}, headers=HEADERS),
    ]
    for answer in answers:
        text = answer.text + str(answer.headers)
        assert str(tmp_path) not in text
        assert "prefix" not in text
        assert "Traceback" not in text
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Cache-Control"] in ("no-store", "no-cache")


def test_the_page_names_no_other_host() -> None:
    folder = Path(command.__file__).with_name("static")
    texts = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    assert set(texts) >= {"index.html", "page.css", "main.js", "draw.js"}
    allowed = "http://www.w3.org/2000/svg"  # the name of SVG itself
    assert [name for name, text in texts.items() if "://" in text.replace(allowed, "")] == []


def test_what_was_checked_is_shown_with_its_pictures(client: FlaskClient) -> None:
    page = client.get("/checks", base_url=BASE).text
    assert "Smoke checks: 1 passed<" in page
    assert "it &lt;works&gt;" in page
    assert '<img src="/checks/smoke/drawn.png" alt="what was drawn">' in page
    assert client.get("/checks/smoke/drawn.png", base_url=BASE).status_code == 200


def test_a_record_has_all_that_was_seen(client: FlaskClient, home: Path) -> None:
    done = [send(client, picture(), "a.png"), send(client, picture((0, 9, 0)), "b.png")]
    answers = [result(client, identifier) for identifier in done]
    record = {"name": " Jo\n<b>", "remark": "fine", "threshold": 0.5, "classes": ["dog"], "pictures": done}
    answer = accept(client, record, seen=2)
    assert answer.status_code == 201, answer.text
    folder = home.parents[2] / "accepted" / answer.get_json()["name"]
    written = json.loads((folder / "record.json").read_text("utf-8"))
    assert written["accepted_by"] == "Jo <b>"
    assert written["threshold"] == 0.5
    assert ["Bundle's digest", "d" * 64] in written["facts"]
    assert [one["sha256"] for one in written["pictures"]] == [one["sha256"] for one in answers]
    assert [one["found"] for one in written["pictures"]] == [
        [{"class": "dog", "score": 0.75, "box": [1, 2, 11, 12]}] for _ in done
    ]
    page = client.get(answer.get_json()["page"], base_url=BASE)
    assert "Jo &lt;b&gt;" in page.text
    assert page.text == (folder / "record.html").read_text("utf-8")
    assert sorted(path.name for path in folder.iterdir()) == ["1.jpg", "2.jpg", "record.html", "record.json"]
    assert client.get("/api/facts", base_url=BASE).get_json()["records"] == [folder.name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": " "}, "who accepts it?"),
        ({"name": 5}, "not readable"),
        ({"name": "x" * 201}, "too long"),
        ({"threshold": 2}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"pictures": []}, "no picture has been looked at"),
        ({"pictures": ["x"]}, "no longer knows"),
        ({"pictures": ["x"] * 300}, "at most 200"),
        ({"classes": "dog"}, None),
    ],
)
def test_a_record_that_cannot_be_is_refused(
    client: FlaskClient, home: Path, change: dict[str, Any], said: str | None
) -> None:
    done = send(client, picture())
    result(client, done)
    record = {"name": "Jo", "threshold": 0.5, "classes": ["dog"], "pictures": [done], **change}
    answer = accept(client, record)
    if said is None:
        assert answer.status_code == 201
        return
    assert answer.status_code == 400
    assert said in answer.get_json()["error"]
    assert not (home.parents[2] / "accepted").exists()


def test_a_record_that_was_not_finished_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record: dict[str, Any] = {
        "title": "t", "accepted_by": "Jo", "local_date": "2026-11-30T12:00:00+01:00", "remark": "",
        "threshold": 0.5, "classes_shown": [], "facts": [], "pictures": [],
    }  # fmt: skip
    monkeypatch.setattr(acceptance, "render", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        acceptance.write_record(str(tmp_path), dict(record), [])
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    (tmp_path / f"{acceptance.ASIDE}killed").mkdir()
    (tmp_path / f"{acceptance.ASIDE}killed" / "record.json").write_text("{", "utf-8")
    names = [acceptance.write_record(str(tmp_path), dict(record), []) for _ in range(2)]
    assert names == ["20261130-120000-Jo", "20261130-120000-Jo-2"]
    other = acceptance.write_record(str(tmp_path), {**record, "accepted_by": "J\u00f6rg \u00c4/../x"}, [])
    names.append(other)
    assert other == "20261130-120000-Jorg-A-x"
    acceptance.sweep(str(tmp_path))
    assert acceptance.list_records(str(tmp_path)) == sorted(names, reverse=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    record = {"accepted_by": "Jo", "local_date": "2026-11-30T12:00:00+01:00", "pictures": []}
    with pytest.raises(Unfit, match=r"cannot be written: (File exists|Not a directory)") as caught:
        acceptance.write_record(str(tmp_path / "file"), record, [])
    assert "--records" in caught.value.hint


def test_a_port_in_use_is_told_before_the_model_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with address.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        arguments = ["--port", str(port), "--no-browser"]
        assert command.run(arguments, "", lambda _: None, lambda _: pytest.fail("loaded")) == 2
    said = capsys.readouterr().err
    assert f"port {port} is in use by another program" in said
    assert f"--port {port + 1}" in said


@pytest.mark.parametrize("port", ["-1", "65536", "http", "8080.5"])
def test_a_port_that_is_none_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.run(["--port", port], "", lambda _: None, lambda _: pytest.fail("loaded"))
    assert f"{port!r} is not a port" in capsys.readouterr().err


def test_a_host_of_others_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["--host", "192.0.2.1"], "", lambda _: None, lambda _: pytest.fail("loaded")) == 2
    assert "192.0.2.1, port 8080 cannot be used" in capsys.readouterr().err


def test_where_records_go(tmp_path: Path) -> None:
    inside = tmp_path / "env" / "wheelferry" / "apps"
    inside.mkdir(parents=True)
    (inside.parent / "receipt.json").write_text('{"bundle": {}}', "utf-8")
    assert Installation(str(inside)).records == str(inside.parent / "accepted")
