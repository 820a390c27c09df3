"""Attempts to reach another machine: which are seen, on whose behalf, and what is made of them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wheelferry.errors import MissingError
from wheelferry.models.connections import Allowed, Attempt, judge
from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.report import Level
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.process import run
from wheelferry.verification.installation.install import HARNESS, INSPECT, START
from wheelferry.verification.suite import read_attempts, read_results

# An address that RFC 5737 keeps for documents, and a name that RFC 6761 keeps from existing.
NOWHERE, NO_NAME = "192.0.2.1", "nowhere.invalid"
QUIETLY = "import asyncio, contextlib, socket, threading\n"


def answered(folder: Path, script: str, *arguments: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a script of the install level answers, run in a Python of its own."""
    command = [sys.executable, *options, "-c", script, str(HARNESS), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.rpartition("\n@@")[2])
    assert answer["watched"]
    return answer


def tried(folder: Path, line: str) -> list[dict[str, Any]]:
    """What is seen while a module is imported that does what `line` says and hides its failure."""
    text = f"{QUIETLY}with contextlib.suppress(OSError):\n    {line}\n"
    (folder / "nosy.py").write_text(text, "utf-8")
    seen: list[dict[str, Any]] = answered(folder, INSPECT, "nosy")["connections"]["nosy"]
    return seen


UDP = "socket.socket(type=socket.SOCK_DGRAM)"
QUICK = "one = socket.socket(); one.settimeout(0.01); one"


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (f"{QUICK}.connect(('{NOWHERE}', 80))", f"{NOWHERE}:80"),
        (f"{QUICK}.connect_ex(('{NOWHERE}', 80))", f"{NOWHERE}:80"),
        (f"{QUICK}.connect(('{NO_NAME}', 443))", f"{NO_NAME}:443"),
        (f"socket.create_connection(('{NO_NAME}', 443))", f"{NO_NAME}:443"),
        (f"socket.create_connection((b'{NOWHERE}', 80), timeout=0.01)", f"{NOWHERE}:80"),
        (f"{UDP}.sendto(b'x', ('{NOWHERE}', 53))", f"{NOWHERE}:53"),
        (f"{UDP}.sendto(b'x', ('{NO_NAME}', 53))", f"{NO_NAME}:53"),
        (f"socket.gethostbyname('{NO_NAME}')", NO_NAME),
        (f"socket.getaddrinfo('{NO_NAME}', None)", NO_NAME),
        ("socket.create_connection(('2001:db8::1', 80), timeout=0.01)", "[2001:db8::1]:80"),
        (f"__import__('urllib.request').request.urlopen('https://{NO_NAME}/x')", f"{NO_NAME}:443"),
    ],
)
def test_an_attempt_is_seen_though_it_fails_and_the_module_hides_it(
    tmp_path: Path, line: str, address: str
) -> None:
    assert tried(tmp_path, line) == [{"modules": ["nosy"], "address": address}]


def test_a_thread_of_the_standard_library_is_seen_without_the_module(tmp_path: Path) -> None:
    line = f"asyncio.run(asyncio.open_connection('{NO_NAME}', 80))"
    assert tried(tmp_path, line) == [{"modules": [], "address": f"{NO_NAME}:80"}]


@pytest.mark.parametrize(
    "line",
    [
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.create_connection(('localhost', 9))",
        "socket.create_connection(('::1', 9))",
        "socket.socket().connect(('127.8.0.1', 9))",
        "socket.getaddrinfo(None, 80)",
        "socket.getaddrinfo(socket.gethostname(), 80)",
        "socket.socket().bind(('', 0))",
        pytest.param(
            "socket.socket(socket.AF_UNIX).connect('no-such-socket')",
            marks=pytest.mark.skipif(os.name == "nt", reason="Windows' Python has no such sockets"),
        ),
    ],
)
def test_what_stays_on_this_machine_is_no_attempt(tmp_path: Path, line: str) -> None:
    assert tried(tmp_path, line) == []


def test_all_modules_on_the_way_to_an_attempt_are_named(tmp_path: Path) -> None:
    text = f"{QUIETLY}def fetch():\n    with contextlib.suppress(OSError):\n        socket.gethostbyname"
    (tmp_path / "wire").mkdir()
    (tmp_path / "wire" / "__init__.py").write_text("from .deep import fetch\n", "utf-8")
    (tmp_path / "wire" / "deep.py").write_text(f"{text}('{NO_NAME}')\n", "utf-8")
    (tmp_path / "nosy.py").write_text("import wire\nwire.fetch()\n", "utf-8")
    (tmp_path / "user.py").write_text("import nosy\n", "utf-8")
    seen = answered(tmp_path, INSPECT, "user")["connections"]["user"]
    assert seen == [{"modules": ["wire", "nosy", "user"], "address": NO_NAME}]


def test_threads_and_what_is_done_at_the_end_are_seen(tmp_path: Path) -> None:
    look = "def look(name):\n    with contextlib.suppress(OSError):\n        socket.gethostbyname(name)\n"
    start = (
        "import atexit, time\nthreading.Thread(target=lambda: (time.sleep(0.3), look('a.invalid'))).start()\n"
    )
    (tmp_path / "nosy.py").write_text(f"{QUIETLY}{look}{start}atexit.register(look, 'b.invalid')\n", "utf-8")
    seen = answered(tmp_path, INSPECT, "nosy")["connections"]
    assert seen["nosy"] == []
    assert [attempt["address"] for attempt in seen["the end of Python"]] == ["a.invalid", "b.invalid"]


def test_code_of_a_pth_file_is_seen_when_python_starts(tmp_path: Path) -> None:
    made = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    (packages,) = [*made.glob("lib/python3*/site-packages"), *made.glob("Lib/site-packages")]
    (packages / "one.pth").write_text("import boot\n", "utf-8")
    (packages / "boot.py").write_text(f"import socket\nsocket.getaddrinfo('{NO_NAME}', 1)\n", "utf-8")
    (packages / "two.pth").write_text(f"import socket; socket.getaddrinfo('{NO_NAME}', 2)\n", "utf-8")
    (program,) = [*made.glob("bin/python"), *made.glob("Scripts/python.exe")]
    done = subprocess.run([program, "-S", "-c", START, HARNESS], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.rpartition("\n@@")[2])
    assert answer["connections"]["the start of Python"] == [
        {"modules": ["boot"], "address": f"{NO_NAME}:1"},
        {"modules": [], "address": f"{NO_NAME}:2"},
    ]


CHECKS = """
import contextlib, socket
from harness import check

def look(name):
    with contextlib.suppress(OSError):
        socket.gethostbyname(name)

look("loading.invalid")

@check("asks around")
def asks(context):
    look("asking.invalid")

@check("is quiet")
def quiet(context):
    pass
"""


def ran(folder: Path, python: Path = Path(sys.executable)) -> Path:
    """The document of a suite that was run with `python`."""
    shutil.copy(HARNESS, folder / "harness.py")
    (folder / "check_it.py").write_text(CHECKS, "utf-8")
    suite = {"recipe": "tiny", "release": "1.0", "modules": ["check_it"]}
    (folder / "suite.json").write_text(json.dumps(suite), "utf-8")
    command: list[str | Path] = [python, folder / "harness.py", "--out", folder / "out"]
    subprocess.run(command, capture_output=True, check=True)
    return folder / "out" / "smoke.json"


def test_the_harness_keeps_them_by_check(tmp_path: Path) -> None:
    document = ran(tmp_path)
    assert read_attempts(document) == (
        [
            ("loading the suite", Attempt(modules=("check_it",), address="loading.invalid")),
            ("check_it.asks", Attempt(modules=("check_it",), address="asking.invalid")),
        ],
        True,
    )
    problems, checks = read_results(document, Level.SMOKE, 0, "")
    assert problems == []
    assert [check.status for check in checks] == ["passed", "passed"]


def test_the_document_of_a_python_that_tells_nothing_says_so(tmp_path: Path) -> None:
    try:
        python = find_interpreter("3.7", run).path
    except MissingError as error:
        pytest.skip(str(error))
    assert read_attempts(ran(tmp_path, python)) == ([], False)


def test_an_older_harness_does_not_watch(tmp_path: Path) -> None:
    (tmp_path / "smoke.json").write_text(json.dumps({"checks": [{"name": "c1"}]}), "utf-8")
    assert read_attempts(tmp_path / "smoke.json") == ([], False)


ATTEMPT = Attempt(modules=("urllib3", "requests", "nosy"), address="example.org:443")


@pytest.mark.parametrize(
    ("rule", "covers"),
    [
        ({"module": "nosy"}, True),
        ({"module": "urllib3"}, True),
        ({"module": "other"}, False),
        ({"address": "example.org"}, True),
        ({"address": "example.org:443"}, True),
        ({"address": "example.org:80"}, False),
        ({"address": "example"}, False),
        ({"module": "nosy", "address": "example.org"}, True),
        ({"module": "other", "address": "example.org"}, False),
        ({"module": "nosy", "address": "example.net"}, False),
    ],
)
def test_what_is_allowed(rule: dict[str, str], covers: bool) -> None:
    assert Allowed(reason="it asks for a newer version", **rule).covers(ATTEMPT) is covers


def test_an_attempt_is_a_problem_or_a_note_with_the_reason() -> None:
    said = "urllib3, called by requests, nosy, tried to reach example.org:443"
    assert judge("tiny", [ATTEMPT], []) == [Problem(code=Code.CONNECTION, file="tiny", message=said)]
    allowed = Allowed(module="nosy", reason="it asks for a newer version")
    message = f"{said}, which is allowed: it asks for a newer version"
    assert judge("tiny", [ATTEMPT], [allowed]) == [Note(file="tiny", message=message)]


def test_an_ipv6_address_is_allowed_with_and_without_its_port() -> None:
    attempt = Attempt(modules=(), address="[2001:db8::1]:80")
    assert str(attempt) == "a .pth file, or a thread of the standard library, tried to reach [2001:db8::1]:80"
    for address in ("[2001:db8::1]", "[2001:db8::1]:80"):
        assert Allowed(address=address, reason="documented").covers(attempt)
    assert not Allowed(address="[2001:db8:", reason="documented").covers(attempt)
