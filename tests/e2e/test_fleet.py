"""A fleet installs from an index that nginx serves, as docs/serving.md configures it."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import uv as uv_package

from clients import HERE
from conftest import locked, pack_bundle, write_wheel
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.serving.index import index

pytestmark = pytest.mark.e2e

CLIENTS = 100
PROJECTS = ["bulk", "leaf", "tiny", "torch", "twig"]
DOCS = Path(__file__).parents[2] / "docs" / "serving.md"
JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class Request:
    """A line of the server's log; `client` is what the client said of itself."""

    path: str
    status: int
    type: str
    sent: int
    client: str


@dataclass(frozen=True)
class Server:
    """The address of a running nginx, and its log."""

    address: str
    log: Path

    def seen(self, client: str) -> list[Request]:
        """What one client asked for, in order."""
        lines = [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]
        return [Request(**line) for line in lines if client in line["client"]]


@pytest.fixture
def nginx() -> str:
    """The program; where `.ci/run` has installed it, its absence is a failure."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        if os.environ.get("WHEELFERRY_TESTS_NEED_NGINX"):
            pytest.fail("nginx should have been installed")
        pytest.skip("no nginx on this machine: apt-get install nginx-light")
    return found


@pytest.fixture
def server(nginx: str, tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Iterator[Server]:
    """A bundle with a wheel of 3 MB, indexed and served."""
    made = tmp_path / "made"
    bulk = locked(write_wheel(made, "bulk", "1.0", files={"bulk/data": os.urandom(3_000_000)}), tools.store)
    bundle = pack_bundle(tmp_path / "bundle", made, tools, located, [HERE], more=[bulk])
    index([bundle], tmp_path / "served", tools)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log, folder = tmp_path / "access.log", tmp_path / "nginx"
    folder.mkdir()
    (folder / "nginx.conf").write_text(configuration(tmp_path / "served", port, log, folder), "utf-8")
    command: list[str | Path] = [nginx, "-p", folder, "-c", folder / "nginx.conf"]
    command += ["-e", folder / "error.log"]
    process = subprocess.Popen(command)
    try:
        wait_for(port, process)
        yield Server(f"http://127.0.0.1:{port}", log)
    finally:
        process.terminate()
        process.wait()


def configuration(root: Path, port: int, log: Path, folder: Path) -> str:
    """The configuration in the documentation, with a server of our own around it."""
    match = re.search(r"```nginx\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert match
    documented = match[1]
    for said, meant in (("listen 8000;", f"listen 127.0.0.1:{port};"), ("/srv/index", str(root))):
        assert documented.count(said) == 1
        documented = documented.replace(said, meant)
    line = (
        '{"path": "$request_uri", "status": $status, "type": "$sent_http_content_type", '
        '"sent": $body_bytes_sent, "client": "$http_user_agent"}'
    )
    # the tests' folders are private: as root the workers must not become somebody else
    user = "user root;\n" if os.geteuid() == 0 else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    return (
        f"{user}daemon off;\nworker_processes 2;\npid {folder}/pid;\nevents {{ worker_connections 1024; }}\n"
        f"http {{\n{places}log_format line escape=json '{line}';\naccess_log {log} line;\n"
        f"types {{ text/html html; application/json json; }}\nsendfile on;\n{documented}}}\n"
    )


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(2000):
        assert process.poll() is None, "nginx ended"
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("nginx did not answer")


def alone(tmp_path: Path, name: str, **more: str) -> dict[str, str]:
    """An environment without the user's configuration; pip tells the server the client's name."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    own = {"PIP_CONFIG_FILE": os.devnull, "PIP_USER_AGENT_USER_DATA": name, "UV_NO_CONFIG": "1"}
    return {**kept, **own, "UV_CACHE_DIR": str(tmp_path / "uv"), **more}


def pip(server: Server, target: Path) -> list[str | Path]:
    """Installs the project as it is told to on an isolated client."""
    options: list[str | Path] = ["--no-cache-dir", "--disable-pip-version-check", "--no-compile"]
    return [sys.executable, "-m", "pip", "install", *options, "--target", target,
            "--index-url", f"{server.address}/simple/", "tiny", "bulk"]  # fmt: skip


def check_served(seen: list[Request], page: str) -> None:
    """All found, every wheel sent once and after its metadata, pages of the type `page`."""
    assert {request.status for request in seen} == {200}
    paths = [request.path for request in seen]
    wheels = Counter(path for path in paths if path.endswith(".whl"))
    assert sorted(path.split("/")[-1].split("-")[0] for path in wheels) == PROJECTS
    assert set(wheels.values()) == {1}
    for path in wheels:
        assert paths.index(f"{path}.metadata") < paths.index(path)
    assert {request.type for request in seen if request.path.startswith("/simple/")} == {page}


def installed(target: Path) -> list[str]:
    return sorted(path.name.split("-")[0] for path in target.glob("*.dist-info"))


def test_a_hundred_pips_at_once(server: Server, tmp_path: Path) -> None:
    running = []
    for number in range(CLIENTS):
        name = f"client-{number:03}"
        with (tmp_path / f"{name}.log").open("wb") as stream:
            command = pip(server, tmp_path / name)
            running.append(subprocess.Popen(command, env=alone(tmp_path, name), stdout=stream, stderr=stream))
    try:
        codes = [process.wait() for process in running]
    finally:
        for process in running:
            process.kill()
    failed = [number for number, code in enumerate(codes) if code]
    assert failed == [], (tmp_path / f"client-{failed[0]:03}.log").read_text("utf-8")
    for number in range(CLIENTS):
        name = f"client-{number:03}"
        assert installed(tmp_path / name) == PROJECTS
        check_served(server.seen(name), JSON)


def test_uv_reads_it(server: Server, tmp_path: Path) -> None:
    command = [uv_package.find_uv_bin(), "pip", "install", "--python", sys.executable, "--target"]
    command += [str(tmp_path / "site"), "--index-url", f"{server.address}/simple/", "tiny", "bulk"]
    subprocess.run(command, env=alone(tmp_path, "uv"), check=True)
    assert installed(tmp_path / "site") == PROJECTS
    check_served(server.seen("uv/"), JSON)


@pytest.mark.parametrize("version", ["22.3.1", "23.0.1"])
def test_older_pips(server: Server, tmp_path: Path, version: str) -> None:
    """pip 22.3 to 23.2 look for metadata by the name that it had before PEP 714."""
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path / "old")]
    subprocess.run([*fetch, f"pip=={version}"], check=True)
    wheel = tmp_path / "old" / f"pip-{version}-py3-none-any.whl"
    environment = alone(tmp_path, "old", PYTHONPATH=str(wheel), PYTHONWARNINGS="ignore")
    subprocess.run(pip(server, tmp_path / "site"), env=environment, check=True)
    assert installed(tmp_path / "site") == PROJECTS
    seen = server.seen("old")
    assert {request.status for request in seen} == {200}
    assert f'"version":"{version}"' in seen[0].client
    assert Counter(r.path for r in seen if r.path.endswith(".whl")).most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [("text/html", "text/html"), (f"{JSON}, text/html; q=0.01", JSON), ("*/*", "text/html")],
)
def test_each_client_gets_the_page_that_it_asks_for(server: Server, accept: str, wanted: str) -> None:
    answer = requests.get(f"{server.address}/simple/leaf/", headers={"Accept": accept}, timeout=10)
    assert answer.headers["Content-Type"] == wanted
    assert answer.headers["Vary"] == "Accept"
