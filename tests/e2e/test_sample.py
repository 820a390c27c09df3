"""The sample project end to end: real compiler, real torch, real sandbox, real index.

One bundle is made for all tests; each test that damages it works on a copy of hard links.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path

import pytest

from conftest import reseal
from ferry import Ferry
from wheelferry.cache.store import Store
from wheelferry.models.cuda import backend_of
from wheelferry.models.manifest import NAME, parse_manifest
from wheelferry.system.files import sha256_file
from wheelferry.wheels.read import torch_cuda

pytestmark = pytest.mark.e2e

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TORCH = "2.13.0"


def bundle_arguments(out: Path) -> list[str | Path]:
    return ["bundle", "sample@1.0", "--python", PYTHON, "--torch", TORCH, "--out", out]


@pytest.fixture(scope="module")
def bundle(ferry: Ferry) -> Path:
    """A packed bundle in a folder whose name has a space and a letter beyond ASCII."""
    out = ferry.cache.parent / "b ü"
    # one dependency that exists only as an sdist
    ferry(*bundle_arguments(out), "--with", "antlr4-python3-runtime==4.9.3", "--no-verify")
    return out


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle to damage: hard links, so no gigabytes are copied."""
    target = bundle.parent / f"copy-{tmp_path.name}"
    shutil.copytree(bundle, target, copy_function=os.link)
    return target


@pytest.fixture(scope="module")
def ordinary(ferry: Ferry, bundle: Path) -> Path:
    """The wheel whose ops are compiled against the headers of one torch."""
    out = bundle.parent / "ordinary"
    options = ["--python", PYTHON, "--torch", TORCH, "--no-stable-abi"]
    ferry("build", "sample@1.0", *options, "--out", out)
    (wheel,) = out.iterdir()
    return wheel


def built_wheel(bundle: Path) -> Path:
    (wheel,) = (bundle / "wheelhouse").glob("skiff-*.whl")
    return wheel


def overwrite(path: Path, data: bytes) -> None:
    """Replace a file whose bytes other folders share."""
    path.unlink()
    path.write_bytes(data)


def test_all_four_levels_pass_and_leave_evidence(ferry: Ferry, bundle: Path) -> None:
    report = json.loads(ferry("verify", bundle, "--json"))
    assert report["passed"]
    (target,) = report["targets"]
    levels = {level["level"]: level for level in target["levels"]}
    assert {name: level["passed"] for name, level in levels.items()} == {
        "install": True,
        "smoke": True,
        "train": True,
    }
    # not skipped: the weights travelled, and were found where skiff looks for them
    assert {check["name"]: check["status"] for check in levels["smoke"]["checks"]}[
        "check_detector.pretrained"
    ] == "passed"
    train, processes = levels["train"]["checks"]
    assert (processes["name"], processes["status"]) == ("check_processes.two_train_as_one", "passed")
    assert train["values"]["AP50"] >= 0.5
    assert train["values"]["last loss"] <= train["values"]["first loss"] / 2
    page = (bundle / "report" / "report.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") >= 2
    assert "http://" not in page
    assert "https://" not in page


def test_the_installation_saw_no_network(ferry: Ferry, bundle: Path) -> None:
    (target,) = json.loads((bundle / "report" / "report.json").read_text("utf-8"))["targets"]
    isolation = target["isolation"]
    if not isolation["isolated"]:
        assert "reason" in isolation["evidence"]
        pytest.skip(f"no network sandbox on this machine: {isolation['evidence']['reason']}")
    assert isolation["evidence"]["interfaces"] == ["lo"]
    assert isolation["evidence"]["routes"] == []
    assert "connected" not in isolation["evidence"]["connections"].values()


def test_the_built_wheels_say_what_they_are(bundle: Path, ordinary: Path) -> None:
    for wheel, version, python, torch in (
        (built_wheel(bundle), f"1.0+pt{TORCH}.stable", "cp310-abi3", "torch>=2.10"),
        (ordinary, f"1.0+pt{TORCH}", f"cp{PYTHON.replace('.', '')}", f"torch=={TORCH}"),
    ):
        assert wheel.name.startswith(f"skiff-{version}-{python}")
        minor = int(wheel.name.split("manylinux_2_")[1].split("_")[0])
        assert minor <= 28
        with zipfile.ZipFile(wheel) as archive:
            (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
            lines = archive.read(metadata).decode().splitlines()
        assert f"Requires-Dist: {torch}" in lines


def test_the_compiler_optimised(ferry: Ferry, ordinary: Path) -> None:
    """setuptools lets CFLAGS from the environment replace the interpreter's own -O3: ours must keep it."""
    logs = [log.read_text("utf-8") for log in ferry.cache.glob("logs/*-build-sample-1.0-*manylinux_*.log")]
    lines = [line for log in logs for line in log.splitlines()]
    compiled = [line for line in lines if "nms.cpp" in line and " -c " in line]
    assert compiled
    assert [line for line in compiled if " -O2" not in line and " -O3" not in line] == []
    assert [line for line in compiled if "-march=" in line] == []


def test_a_warm_run_is_the_same_bytes_and_compiles_nothing(ferry: Ferry, bundle: Path) -> None:
    again = bundle.parent / "again"
    warm = ferry.twin(bundle.parent / "warm cache")
    warm(*bundle_arguments(again), "--with", "antlr4-python3-runtime==4.9.3", "--no-verify")
    one, two = (
        {p.relative_to(root).as_posix(): sha256_file(p) for p in root.rglob("*") if p.is_file()}
        for root in (bundle, again)
    )
    assert {k: v for k, v in one.items() if not k.startswith("report/")} == two
    assert not Store(warm.cache).logs.exists()
    shutil.rmtree(again)
    shutil.rmtree(warm.cache)


def test_building_twice_gives_the_same_bytes(
    ferry: Ferry, bundle: Path, ordinary: Path, tmp_path: Path
) -> None:
    """The same keys compiled anew, object by object, in another cache."""
    other = ferry.twin(bundle.parent / "other cache", without=["build", "object"])
    for option, first, objects in (
        ("--stable-abi", built_wheel(bundle), 4),
        ("--no-stable-abi", ordinary, 8),
    ):
        out = tmp_path / option
        other("build", "sample@1.0", "--python", PYTHON, "--torch", TORCH, option, "--out", out)
        assert len(Store(other.cache).keys("object")) == objects
        (wheel,) = out.iterdir()
        assert wheel.name == first.name
        assert sha256_file(wheel) == sha256_file(first)
    shutil.rmtree(other.cache)


def test_plain_pip_and_uv_install_it_without_wheelferry(bundle: Path, tmp_path: Path) -> None:
    offline = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    pylock = next(bundle.glob("pylock.*.toml"))
    options = ["--no-index", "--find-links", "wheelhouse", "--require-hashes", "-r", "requirements.txt"]
    uv = [sys.executable, "-m", "uv", "pip"]
    for number, command in enumerate(
        (
            ["{python}", "-m", "pip", "install", "-q", "--no-compile", *options],
            [*uv, "install", "-q", "--python", "{python}", "--offline", *options],
            [*uv, "sync", "-q", "--python", "{python}", "--offline", "--preview", pylock.name],
        )
    ):
        env = tmp_path / f"env{number}"
        venv.create(env, with_pip=number == 0)
        python = str(env / "bin" / "python")
        subprocess.run(
            [part.replace("{python}", python) for part in command],
            cwd=bundle,
            check=True,
            env={**offline, "PIP_CONFIG_FILE": os.devnull, "UV_CACHE_DIR": str(tmp_path / "uv")},
        )
        seen = subprocess.run(
            [python, "-c", "import skiff, torch; print(torch.ops.skiff.nms, skiff.__version__)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "1.0" in seen
        shutil.rmtree(env)


def problems(ferry: Ferry, bundle: Path, level: str = "static") -> set[tuple[str, str]]:
    report = json.loads(
        ferry("verify", bundle, "--level", level, "--json", status=1).partition("\n}\n")[0] + "\n}"
    )
    assert not report["passed"]
    return {(problem["code"], problem["file"]) for problem in report["problems"]}


def test_a_changed_byte_in_torch_is_named(ferry: Ferry, copy: Path) -> None:
    (torch,) = (copy / "wheelhouse").glob("torch-*.whl")
    with torch.open("rb") as stream:
        stream.seek(torch.stat().st_size // 2)
        position, byte = stream.tell(), stream.read(1)
    shutil.copyfile(torch, torch.with_suffix(".new"))
    torch.with_suffix(".new").replace(torch)
    with torch.open("r+b") as stream:
        stream.seek(position)
        stream.write(bytes([byte[0] ^ 1]))
    name = f"wheelhouse/{torch.name}"
    assert {("FILE_CHANGED", name), ("RECORD", name)} <= problems(ferry, copy)


def test_an_altered_report_is_named(ferry: Ferry, copy: Path) -> None:
    if not (copy / "report" / "report.json").is_file():
        ferry("verify", copy, "--level", "static")
    path = copy / "report" / "report.json"
    overwrite(path, path.read_bytes().replace(b'"passed": true', b'"passed": false'))
    assert problems(ferry, copy) == {("REPORT_CHANGED", "report/report.json")}


@pytest.mark.parametrize(
    ("symbol", "other", "level", "code"),
    [
        (b"aoti_torch_get_", b"aoti_torch_gut_", "static", "SYMBOLS"),
        (b"PyModule_", b"PyMadule_", "install", "IMPORT"),
    ],
)
def test_a_module_that_does_not_load(
    symbol: bytes, other: bytes, level: str, code: str, ferry: Ferry, copy: Path
) -> None:
    """Metadata in order, hashes in order, and yet the compiled module wants a symbol that nobody has."""
    wheel = built_wheel(copy)
    folder = copy.parent / f"{copy.name}-tree"
    subprocess.run([sys.executable, "-m", "wheel", "unpack", wheel, "-d", folder], check=True)
    (module,) = folder.rglob("_C*.so")
    data = module.read_bytes()
    assert symbol in data
    module.write_bytes(data.replace(symbol, other))
    wheel.unlink()
    (tree,) = folder.iterdir()
    subprocess.run([sys.executable, "-m", "wheel", "pack", tree, "-d", wheel.parent], check=True)
    shutil.rmtree(folder)
    old = json.loads((copy / NAME).read_text("utf-8"))
    stated = next(f["sha256"] for f in old["files"] if f["path"].endswith(wheel.name))
    for name in ["requirements.txt", *(p.name for p in copy.glob("pylock.*"))]:
        overwrite(copy / name, (copy / name).read_text("utf-8").replace(stated, sha256_file(wheel)).encode())
    reseal(copy)
    assert code in {found for found, _ in problems(ferry, copy, level)}


def test_a_moved_tag_is_an_integrity_error(ferry: Ferry, tmp_path: Path) -> None:
    repository, commit = git_project(tmp_path)
    recipe = git_recipe(tmp_path, repository, "0" * 40)
    said = ferry(
        "build", f"{recipe}@1.0", "--python", PYTHON, "--torch", TORCH, "--out", tmp_path / "w", status=4
    )
    assert f"is commit {commit}, the recipe pins {'0' * 40}" in said.replace("\n", " ")


def test_a_git_host_that_does_not_answer(ferry: Ferry, tmp_path: Path) -> None:
    recipe = git_recipe(tmp_path, "https://127.0.0.1:9/none.git", "0" * 40)
    said = ferry(
        "build", f"{recipe}@1.0", "--python", PYTHON, "--torch", TORCH, "--out", tmp_path / "w", status=3
    )
    assert "--source" in said


def test_a_source_that_is_no_repository(ferry: Ferry, tmp_path: Path) -> None:
    recipe = git_recipe(tmp_path, tmp_path, "0" * 40)
    said = ferry(
        "build", f"{recipe}@1.0", "--python", PYTHON, "--torch", TORCH, "--out", tmp_path / "w", status=2
    )
    assert "is not a git repository" in said.replace("\n", " ")


def test_no_such_interpreter_and_no_compiler(
    ferry: Ferry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: list[str | Path] = [
        "build",
        "sample@1.0",
        "--torch",
        "2.15.0",
        "--out",
        tmp_path / "w",
        "--python",
    ]
    assert "uv python install 3.15" in ferry(*arguments, "3.15", status=3)
    monkeypatch.setenv("CXX", "no-such-compiler")
    arguments[3] = TORCH
    assert "apt-get install g++" in ferry(*arguments, PYTHON, "--compiler", "g++", status=3)


def test_a_repository_without_the_tag(ferry: Ferry, tmp_path: Path) -> None:
    repository, _ = git_project(tmp_path)
    subprocess.run(["git", "-C", repository, "tag", "-d", "v1.0"], check=True, capture_output=True)
    recipe = git_recipe(tmp_path, repository, "0" * 40)
    said = ferry(
        "build", f"{recipe}@1.0", "--python", PYTHON, "--torch", TORCH, "--out", tmp_path / "w", status=2
    )
    assert "has no tag v1.0" in said.replace("\n", " ")


def test_a_substitution_that_no_longer_matches_names_file_and_counts(ferry: Ferry, tmp_path: Path) -> None:
    repository, commit = git_project(tmp_path)
    extra = '[[substitutions]]\nfile = "setup.py"\nold = "import"\nnew = "import"\ncount = 99\n'
    recipe = git_recipe(tmp_path, repository, commit, extra)
    said = ferry(
        "build", f"{recipe}@1.0", "--python", PYTHON, "--torch", TORCH, "--out", tmp_path / "w", status=2
    )
    assert "setup.py: 'import' occurs" in said
    assert "the recipe says 99" in said


def test_a_project_that_does_not_compile(ferry: Ferry, tmp_path: Path) -> None:
    repository, commit = git_project(tmp_path)
    missing = "there_is_no_such_header.h"  # with which a compiler stops at once
    extra = (
        '[[substitutions]]\nfile = "skiff/csrc/ops.h"\nold = "#pragma once"\n'
        f'new = "#include <{missing}>"\ncount = 1\n'
    )
    recipe = git_recipe(tmp_path, repository, commit, extra)
    said = ferry(
        "build", f"{recipe}@1.0", "--python", PYTHON, "--torch", TORCH, "--out", tmp_path / "w", status=5
    )
    assert f"{missing}: No such file" in said
    assert "the whole log: " in said.replace("\n", " ")
    assert not (tmp_path / "w").exists()


def test_a_second_run_needs_no_git_host(ferry: Ferry, tmp_path: Path, bundle: Path) -> None:
    repository, commit = git_project(tmp_path)
    recipe = git_recipe(tmp_path, repository, commit)
    arguments: list[str | Path] = [
        "build",
        f"{recipe}@1.0",
        "--python",
        PYTHON,
        "--torch",
        TORCH,
        "--out",
        tmp_path / "w",
    ]
    ferry(*arguments)
    repository.rename(tmp_path / "gone")
    ferry(*arguments)
    assert len(list((tmp_path / "w").glob("skiff-*.whl"))) == 1


def test_a_project_that_comes_as_an_sdist(ferry: Ferry, bundle: Path, tmp_path: Path) -> None:
    """The same project as a source archive: the very module that was compiled from its folder."""
    from wheelferry.catalog import shipped_folder

    archive = tmp_path / "skiff-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as stream:
        stream.add(shipped_folder() / "sample" / "project", "skiff-1.0")
    text = (shipped_folder() / "sample.toml").read_text("utf-8").replace('name = "sample"', 'name = "packed"')
    text = text.replace('kind = "folder"\npath = "sample/project"', 'kind = "sdist"\nname = "skiff"')
    lines = [line for line in text.splitlines() if not line.startswith("tree = ")]
    pinned = f'version = "1.0"\nsdist = "{sha256_file(archive)}"'
    recipe = tmp_path / "packed.toml"
    recipe.write_text("\n".join(lines).replace('version = "1.0"', pinned, 1), "utf-8")
    command: list[str | Path] = [
        "build",
        f"{recipe}@1.0",
        "--python",
        PYTHON,
        "--torch",
        TORCH,
        "--out",
        tmp_path / "wheelhouse",
    ]
    ferry(*command, "--source", archive)
    (wheel,) = (tmp_path / "wheelhouse").iterdir()
    assert wheel.name == built_wheel(bundle).name
    modules = []
    for path in (wheel, built_wheel(bundle)):
        with zipfile.ZipFile(path) as opened:
            modules.append({n: opened.read(n) for n in opened.namelist() if n.startswith("skiff/")})
    assert modules[0] == modules[1]
    archive.unlink()
    ferry(*command)  # the archive is in the store now: nobody is asked for it


def test_an_unreachable_index(ferry: Ferry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    said = ferry(*bundle_arguments(tmp_path / "out"), "--no-verify", status=3)
    assert "pip config list" in said
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_no_mess_and_the_next_run_continues(ferry: Ferry, bundle: Path, tmp_path: Path) -> None:
    out = bundle.parent / "interrupted"
    ferry = ferry.twin(bundle.parent / "interrupted cache", without=["build"])
    arguments = [*bundle_arguments(out), "--no-stable-abi", "--no-verify"]
    command = [sys.executable, "-m", "wheelferry", *map(str, arguments)]
    process = subprocess.Popen(command, env=ferry.environment, stderr=subprocess.PIPE, text=True)
    logs = ferry.cache / "logs"
    while not any("[1/" in log.read_text("utf-8") for log in logs.glob(f"*-{process.pid}-build*")):
        assert process.poll() is None, "it ended without the compiler"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130, said
    assert "run the same command again" in said
    assert not out.exists()
    assert list((ferry.cache / "work").iterdir()) == []
    assert list(Path(tempfile.gettempdir()).glob(f"build-{process.pid}-*")) == []
    ferry(*arguments)
    assert (out / "bundle.json").is_file()
    shutil.rmtree(out)
    shutil.rmtree(ferry.cache)


def git_project(folder: Path) -> tuple[Path, str]:
    """The sample project as a git repository with the tag v1.0; returns it and the commit."""
    from wheelferry.catalog import shipped_folder

    repository = folder / "repository"
    shutil.copytree(shipped_folder() / "sample" / "project", repository)
    who = ["-c", "user.name=tests", "-c", "user.email=tests@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "1.0"], ["tag", "v1.0"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True
    )
    return repository, head.stdout.strip()


def git_recipe(folder: Path, repository: Path | str, commit: str, extra: str = "") -> Path:
    """The sample's recipe with a git source, in a file of its own."""
    from wheelferry.catalog import shipped_folder

    text = (shipped_folder() / "sample.toml").read_text("utf-8")
    text = text.replace('kind = "folder"\npath = "sample/project"', f'kind = "git"\nurl = "{repository}"')
    lines = [line for line in text.splitlines() if not line.startswith("tree = ")]
    text = "\n".join(lines).replace(
        'version = "1.0"', f'version = "1.0"\ntag = "v1.0"\ncommit = "{commit}"', 1
    )
    path = folder / "my recipe.toml"
    path.write_text(f"{text}\n\n{extra}", "utf-8")
    for name in ("smoke", "assets"):
        shutil.copytree(shipped_folder() / "sample" / name, folder / "sample" / name)
    return path


def test_a_backend_is_held_against_the_torch_that_was_found(
    ferry: Ferry, bundle: Path, tmp_path: Path
) -> None:
    """The bundle's own torch, offered as another build than it is, and as what it is."""
    (torch,) = (bundle / "wheelhouse").glob("torch-2*.whl")
    folder = bundle.parent / "builds of torch"
    folder.mkdir()
    os.link(torch, folder / torch.name)
    cuda = torch_cuda(torch)
    right, wrong = ("cpu", "cu130") if cuda is None else (backend_of(cuda), "cpu")
    build: list[str | Path] = ["build", "sample@1.0", "--python", PYTHON, "--torch", TORCH]
    build += ["--torch-index", folder]
    said = ferry(*build, "--backend", wrong, "--out", tmp_path, status=2)
    assert f"the backend asked for is {wrong}" in said
    assert f"take --backend {right}" in said
    if right == "cpu":
        ferry(*build, "--backend", right, "--out", tmp_path)
        (wheel,) = tmp_path.glob("*.whl")
        assert wheel.name.startswith(f"skiff-1.0+pt{TORCH}cpu.stable-")


def test_a_target_that_fails_leaves_the_others(ferry: Ferry, bundle: Path) -> None:
    """CPython 3.14 is not on the machine; what the other target needs is in the store."""
    if shutil.which("python3.14"):
        pytest.skip("this machine has the Python that the test needs to be missing")
    out = bundle.parent / "one of two"
    both: list[str | Path] = ["--python", PYTHON, "--python", "3.14", "--torch", TORCH]
    both += ["--no-verify", "--out", out]
    said = ferry("bundle", "sample@1.0", *both, status=3)
    assert "1 of 2 targets failed:\ncp314-manylinux" in said
    assert not out.exists()
    ferry("bundle", "sample@1.0", *both, "--keep-going", status=3)
    (entry,) = parse_manifest((out / NAME).read_text("utf-8")).targets
    assert entry.target.python == PYTHON
