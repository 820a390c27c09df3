"""Preflight: accept and reject tables, each a machine that differs in one thing from an ordinary one."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

import wheelferry
from machines import FOLDER, GTX_1080, H100, RUNTIME, Bundle, interpreter, machine, nvidia, target, windows
from wheelferry.client.common.bundle import Target, open_bundle
from wheelferry.client.common.sizes import human_size
from wheelferry.client.preflight.examine import choose, examine, needs
from wheelferry.client.preflight.findings import Finding, Needs, Request, problems
from wheelferry.client.preflight.gpu import image_for, needed_driver
from wheelferry.client.preflight.pythons import choose_python, usable_pythons
from wheelferry.client.probe.programs import run_program
from wheelferry.client.probe.pythons import find_pythons

PREFIX = "/home/ann/d2"
LINUX = "manylinux_2_28_x86_64"
REQUEST = Request(prefix=PREFIX)
NEEDS = Needs(prefix_bytes=5_000_000_000, prefix_files=30_000, largest_file=900_000_000, longest_path=150)
CONDA = interpreter("3.11.5", path="/opt/conda/bin/python3.11", conda=True, conda_base=True)
T4 = {"name": "Tesla T4", "capability": "7.5", "memory": None}


def look(seen: dict[str, Any], one: Target, request: Request = REQUEST) -> list[Finding]:
    return list(examine(seen, one, request))


def levels(findings: list[Finding], code: str) -> list[str]:
    return [finding.level for finding in findings if finding.code == code]


def only_problem(findings: list[Finding]) -> Finding:
    (problem,) = problems(findings)
    assert isinstance(problem, Finding)
    return problem


def test_an_ordinary_machine_has_no_problems() -> None:
    findings = look(machine(), target(), Request(prefix=PREFIX, needs=NEEDS))
    assert {finding.level for finding in findings} == {"ok"}
    assert [finding.code for finding in findings] == [
        "platform", "python", "cpu", "file-system", "space", "path-length",
    ]  # fmt: skip
    assert findings[0].to_json() == {
        "code": "platform",
        "level": "ok",
        "message": "Debian GNU/Linux 12 (bookworm), x86_64, glibc 2.36",
        "remedy": "",
    }


def test_an_ordinary_windows_machine_has_no_problems() -> None:
    request = Request(prefix=r"C:\Users\Ann\d2", needs=NEEDS)
    findings = look(windows(), target(platform="win_amd64"), request)
    assert {finding.level for finding in findings} == {"ok"}
    assert levels(findings, "vc-runtime") == ["ok"]


@pytest.mark.parametrize(
    ("changes", "platform", "code", "message"),
    [
        ({"system": "Darwin", "os": "macOS 15"}, LINUX, "platform", "the system is macOS 15"),
        ({}, "win_amd64", "platform", "the target is for Windows"),
        ({"machine": "aarch64"}, LINUX, "machine", "the processor is aarch64"),
        ({"machine": "i686"}, LINUX, "machine", "i686"),
        ({"glibc": "2.27"}, LINUX, "glibc", "glibc is 2.27; the target needs 2.28"),
        ({"glibc": None, "os": "Alpine Linux v3.20"}, LINUX, "glibc", "Alpine Linux v3.20 has no glibc"),
    ],
)
def test_another_platform_is_all_that_is_said(
    changes: dict[str, Any], platform: str, code: str, message: str
) -> None:
    findings = look(machine(**changes), target(platform=platform))
    assert len(findings) == 1
    assert findings[0].code == code
    assert message in findings[0].message
    assert findings[0].remedy


@pytest.mark.parametrize(
    ("glibc", "platform"),
    [
        ("2.28", "manylinux_2_28_x86_64"),
        ("2.36", "manylinux_2_17_x86_64"),
        ("2.100", "manylinux_2_28_x86_64"),
    ],
)
def test_a_newer_glibc_will_do(glibc: str, platform: str) -> None:
    assert not problems(look(machine(glibc=glibc), target(platform=platform)))


@pytest.mark.parametrize(
    ("pythons", "reason"),
    [
        ([], "there is no Python at all"),
        ([interpreter("3.10.4")], "3.10.4 /usr/bin/python3.10"),
        ([interpreter("3.11.4", bits=32, platform="linux-i686")], "32 bits"),
        ([interpreter("3.11.4", implementation="PyPy")], "it is PyPy"),
        ([interpreter("3.11.4", musl=True)], "musl"),
        ([interpreter("3.11.4", free_threaded=True)], "free-threaded"),
        ([interpreter("3.11.4", venv=False)], "python3-venv"),
        ([interpreter("3.11.4", platform="linux-armv7l")], "linux-armv7l"),
    ],
)
def test_no_python_that_would_do(pythons: list[dict[str, Any]], reason: str) -> None:
    problem = only_problem(look(machine(pythons=pythons), target("3.11")))
    assert problem.code == "python"
    assert "CPython 3.11" in problem.message
    assert reason in problem.message
    assert "--runtime" in problem.remedy


def test_the_carried_python_comes_first_and_can_be_declined() -> None:
    carried = target("3.11", runtime=RUNTIME)
    seen = machine()
    assert choose_python(seen, carried, REQUEST) is None
    assert "3.11.15 comes with the bundle" in look(seen, carried)[1].message
    declined = Request(prefix=PREFIX, use_runtime=False)
    assert choose_python(seen, carried, declined)["path"] == "/usr/bin/python3.11"
    named = Request(prefix=PREFIX, python="/usr/bin/python3.11")
    assert choose_python(seen, carried, named)["path"] == "/usr/bin/python3.11"
    assert not problems(look(machine(pythons=[]), carried))


def test_a_carried_python_needs_the_usual_loader() -> None:
    carried = target("3.11", runtime=RUNTIME)
    assert choose_python(machine(loader=False), carried, REQUEST)["version"] == "3.11.7"
    problem = only_problem(look(machine(loader=False, pythons=[]), carried))
    assert "loader" in problem.message


@pytest.mark.parametrize(
    ("path", "message"),
    [("/usr/bin/python3.9", "the target is for Python 3.11"), ("/nowhere/python", "there is no Python at")],
)
def test_a_named_python_must_fit(path: str, message: str) -> None:
    problem = only_problem(look(machine(), target("3.11"), Request(prefix=PREFIX, python=path)))
    assert message in problem.message
    assert "--python" in problem.remedy


def test_the_best_python_is_taken() -> None:
    base, env = CONDA, {**CONDA, "path": "/opt/conda/envs/a/bin/python", "conda_base": False}
    virtual = interpreter("3.11.9", path="/home/ann/.venv/bin/python", virtual=True)
    old, new = interpreter("3.11.2"), interpreter("3.11.10", path="/usr/local/bin/python3.11")
    found = usable_pythons(machine(pythons=[base, env, virtual, old, new]), "3.11")
    assert found == [new, old, virtual, env, base]


def test_conda_is_taken_with_a_caveat() -> None:
    findings = look(machine(pythons=[CONDA]), target("3.11"))
    assert not problems(findings)
    (caveat,) = [finding for finding in findings if finding.code == "conda"]
    assert caveat.level == "note"
    assert "conda's base environment" in caveat.message


@pytest.mark.parametrize(
    ("level", "expected"), [(1, "warning"), (2, "note"), (3, "ok"), (4, "ok"), (None, "note")]
)
def test_the_level_of_the_processor(level: int | None, expected: str) -> None:
    cpu = {"model": "A processor", "cores": 4, "level": level}
    assert levels(look(machine(cpu=cpu), target()), "cpu") == [expected]


@pytest.mark.parametrize(
    ("cuda", "system", "driver"),
    [
        ((9, 2), "Linux", "396.26"),
        ((10, 0), "Linux", "410.48"),
        ((10, 1), "Linux", "418.39"),
        ((10, 1), "Windows", "418.96"),
        ((10, 2), "Linux", "440.33"),
        ((10, 2), "Windows", "441.22"),
        ((11, 0), "Linux", "450.80.02"),
        ((11, 8), "Linux", "450.80.02"),
        ((11, 8), "Windows", "452.39"),
        ((12, 1), "Linux", "525.60.13"),
        ((12, 8), "Windows", "528.33"),
        ((13, 0), "Linux", "580"),
        ((13, 2), "Windows", "580"),
    ],
)
def test_the_driver_that_a_cuda_needs(cuda: tuple[int, int], system: str, driver: str) -> None:
    assert needed_driver(cuda, system) == driver


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (None, "there is no NVIDIA GPU"),
        (nvidia(None, error="NVIDIA-SMI has failed"), "no working driver (NVIDIA-SMI has failed)"),
        (nvidia("535.183.01", H100), "the driver is 535.183.01; CUDA 13.0 needs 580 or newer"),
        (nvidia("525.60.11", H100), "525.60.11"),
        (nvidia("580.65.06", error="No devices were found"), "shows no GPU (No devices were found)"),
        (nvidia("580.65.06", error="Driver/library version mismatch"), "version mismatch"),
    ],
)
def test_a_gpu_that_does_not_serve(seen: dict[str, Any] | None, reason: str) -> None:
    cuda = target(backend="cu130", images=["sm_90"])
    problem = only_problem(look(machine(nvidia=seen), cuda))
    assert problem.code == "gpu-driver"
    assert reason in problem.message
    assert "--without-gpu" in problem.remedy
    accepted = look(machine(nvidia=seen), cuda, Request(prefix=PREFIX, without_gpu=True))
    assert levels(accepted, "gpu-driver") == ["note"]
    assert not problems(accepted)
    assert not problems(look(machine(nvidia=seen), target(backend="cpu")))


@pytest.mark.parametrize(
    ("driver", "backend"),
    [("580.65.06", "cu130"), ("525.60.13", "cu128"), ("450.80.02", "cu118"), ("610.1", "cu102")],
)
def test_a_driver_that_is_new_enough(driver: str, backend: str) -> None:
    seen = machine(nvidia=nvidia(driver, T4))
    findings = look(seen, target(backend=backend, images=["sm_75"]))
    assert levels(findings, "gpu-image") == ["ok"]


@pytest.mark.parametrize(
    ("capability", "images", "expected"),
    [
        ("9.0", ["sm_80", "sm_90"], "sm_90"),
        ("8.6", ["sm_80", "sm_90"], "sm_80"),
        ("8.9", ["sm_80", "sm_86"], "sm_86"),
        ("8.0", ["sm_86"], None),
        ("7.5", ["sm_80"], None),
        ("9.0", ["sm_80"], None),
        ("9.0", ["sm_80", "compute_80"], "compute_80"),
        ("7.5", ["compute_80"], None),
        ("8.0", ["sm_80", "compute_80"], "sm_80"),
        ("12.1", ["sm_120"], "sm_120"),
        ("12.0", ["sm_90", "compute_90"], "compute_90"),
        ("10.0", ["sm_90"], None),
        ("9.0", ["sm_90a"], "sm_90a"),
        ("10.3", ["sm_100a"], None),
        ("10.3", ["sm_100f"], "sm_100f"),
        ("6.1", [], None),
        ("9.0", ["nonsense"], None),
    ],
)
def test_the_image_that_a_device_runs(capability: str, images: list[str], expected: str | None) -> None:
    assert image_for(capability, images) == expected


@pytest.mark.parametrize(
    ("devices", "images", "expected"),
    [
        ([H100], ["sm_90"], ["ok"]),
        ([H100, GTX_1080], ["sm_90"], ["ok", "note"]),
        ([GTX_1080], ["sm_90"], ["problem"]),
        ([H100], ["compute_80"], ["warning"]),
        ([H100], [], ["warning"]),
        ([{**H100, "capability": None}], ["sm_90"], ["warning"]),
    ],
)
def test_code_for_the_devices(devices: list[Any], images: list[str], expected: list[str]) -> None:
    findings = look(machine(nvidia=nvidia("580.65.06", *devices)), target(backend="cu130", images=images))
    assert levels(findings, "gpu-image") == expected


CUDA_12_8 = {"nvidia-cuda-runtime-cu12": "12.8.90"}
CUDA_13 = {"nvidia-cuda-runtime": "13.0.96"}


@pytest.mark.parametrize(
    ("seen", "pins", "message", "remedy"),
    [
        (
            nvidia("470.256.02", T4),
            CUDA_13,
            "the driver is 470.256.02; CUDA 13.0 needs 580",
            "--backend cu118",
        ),
        (nvidia("535.183.01", H100), CUDA_13, "CUDA 13.0 needs 580", "--backend cu128"),
        (
            nvidia("580.65.06", GTX_1080),
            CUDA_13,
            "needs compute capability 7.5, NVIDIA GeForce GTX 1080 has 6.1",
            "--backend cu126",
        ),
        (nvidia("580.65.06", GTX_1080), CUDA_12_8, "needs compute capability 7.0", "--backend cu126"),
        (nvidia("390.157", GTX_1080), CUDA_12_8, "the driver is 390.157", "update NVIDIA's driver to 525"),
    ],
)
def test_a_gpu_that_torch_itself_cannot_use(
    seen: dict[str, Any], pins: dict[str, str], message: str, remedy: str
) -> None:
    """A bundle without CUDA ops, whose torch is the index's own: it installs, and the GPU lies idle."""
    findings = look(machine(nvidia=seen), target(backend="default", pins=pins))
    (warning,) = [finding for finding in findings if finding.code == "gpu-torch"]
    assert warning.level == "warning"
    assert warning.message.startswith("torch will find no GPU here")
    assert message in warning.message
    assert remedy in warning.remedy
    assert not problems(findings)


@pytest.mark.parametrize(
    ("seen", "pins", "message"),
    [
        (
            nvidia("580.65.06", T4),
            CUDA_13,
            "torch uses the GPU; the ops that the bundle compiled run on the CPU",
        ),
        (nvidia("580.65.06", T4, GTX_1080), CUDA_13, "torch uses the GPU"),
        (nvidia("580.65.06", {**T4, "capability": None}), CUDA_13, "torch uses the GPU"),
        (nvidia("390.157", GTX_1080), {}, "which this target does not use"),
    ],
)
def test_a_gpu_beside_ops_for_the_cpu(seen: dict[str, Any], pins: dict[str, str], message: str) -> None:
    findings = look(machine(nvidia=seen), target(backend="default", pins=pins))
    (note,) = [finding for finding in findings if finding.code == "gpu-torch"]
    assert (note.level, message in note.message) == ("note", True)
    declined = Request(prefix=PREFIX, without_gpu=True)
    assert (
        levels(look(machine(nvidia=seen), target(backend="default", pins=pins), declined), "gpu-torch") == []
    )
    assert levels(look(machine(), target(backend="default", pins=pins)), "gpu-torch") == []


def test_no_code_for_the_device_says_how_to_get_it() -> None:
    seen = machine(nvidia=nvidia("580.65.06", T4))
    problem = only_problem(look(seen, target(backend="cu130", images=["sm_90"])))
    assert "no code for Tesla T4 (7.5): it has sm_90" in problem.message
    assert "--cuda-arch 7.5" in problem.remedy


def test_the_vc_runtime_comes_with_windows_or_with_the_bundle() -> None:
    seen = windows(vc_runtime=["vcruntime140.dll"])
    bare = target(platform="win_amd64")
    problem = only_problem(look(seen, bare, Request(prefix=r"C:\d2")))
    assert "msvcp140.dll, vcruntime140_1.dll" in problem.message
    assert "--with msvc-runtime" in problem.remedy
    wheel = "wheelhouse/msvc_runtime-14.44.35112-cp311-cp311-win_amd64.whl"
    carrying = target(platform="win_amd64", wheels=[wheel])
    assert levels(look(seen, carrying, Request(prefix=r"C:\d2")), "vc-runtime") == ["ok"]


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({"writable": False, "reason": "Permission denied"}, "permission", "problem"),
        ({"writable": False, "read_only": True, "reason": "Read-only file system"}, "permission", "problem"),
        ({"file_system": "vfat", "symlinks": False, "largest_file": 2**32 - 1}, "file-system", "problem"),
        ({"file_system": "exfat", "symlinks": None}, "file-system", "problem"),
        ({"file_system": "fuseblk", "symlinks": False}, "file-system", "problem"),
        ({"file_system": "nfs4"}, "file-system", "note"),
        ({"noexec": True}, "noexec", "problem"),
        ({"executable": False}, "noexec", "problem"),
        ({"hard_links": False}, "hard-links", "note"),
        ({"free_bytes": 4_999_999_999}, "space", "problem"),
        ({"free_bytes": 5_000_000_000}, "space", "ok"),
        ({"free_bytes": None}, "space", "warning"),
        ({"free_inodes": 29_999}, "inodes", "problem"),
        ({"longest_name": 143}, "path-length", "warning"),
    ],
)
def test_the_folder(changes: dict[str, Any], code: str, level: str) -> None:
    seen = machine(folders=[{**FOLDER, **changes}])
    findings = look(seen, target(), Request(prefix=PREFIX, needs=NEEDS))
    assert levels(findings, code) == [level]
    assert [finding.code for finding in problems(findings)] == ([code] if level == "problem" else [])
    assert all(finding.remedy for finding in problems(findings))


def test_figures_are_in_the_message() -> None:
    seen = machine(folders=[{**FOLDER, "free_bytes": 3_000_000_000}])
    problem = only_problem(look(seen, target(), Request(prefix=PREFIX, needs=NEEDS)))
    assert problem.message == "3.0 GB free in /home/ann/d2, 5.0 GB needed"
    assert problem.remedy.startswith("free 2.0 GB there")


def test_one_disk_holds_prefix_and_temp() -> None:
    wanted = Needs(prefix_bytes=4_000_000_000, prefix_files=10, temp_bytes=2_000_000_000, temp_files=10)
    request = Request(prefix=PREFIX, temp="/tmp/x", needs=wanted)  # noqa: S108
    prefix = {**FOLDER, "free_bytes": 5_000_000_000}
    same = {**prefix, "path": request.temp}
    assert [f.code for f in problems(look(machine(folders=[prefix, same]), target(), request))] == ["space"]
    other = {**same, "device": "37"}
    findings = look(machine(folders=[prefix, other]), target(), request)
    assert levels(findings, "space") == ["ok", "ok"]
    small = {**other, "free_bytes": 1_000_000_000}
    problem = only_problem(look(machine(folders=[prefix, small]), target(), request))
    assert "TMPDIR" in problem.remedy


def test_fat_on_windows_takes_no_file_of_4_gb() -> None:
    folder = {**windows()["folders"][0], "file_system": "FAT32", "largest_file": 2**32 - 1, "symlinks": False}
    win = target(platform="win_amd64")
    small = Request(prefix=folder["path"], needs=NEEDS)
    assert not problems(look(windows(folders=[folder]), win, small))
    large = Request(prefix=folder["path"], needs=Needs(1, 1, largest_file=2**32))
    problem = only_problem(look(windows(folders=[folder]), win, large))
    assert "at most 4.3 GB" in problem.message


@pytest.mark.parametrize(
    ("longest", "long_paths", "expected"),
    [
        (150, False, "ok"),
        (233, False, "ok"),
        (234, False, "problem"),
        (400, False, "problem"),
        (400, True, "ok"),
    ],
)
def test_path_length_on_windows(longest: int, long_paths: bool, expected: str) -> None:
    # the prefix has 15 characters, \\envs\\9999\\ has 11, and 259 is the most
    request = Request(prefix=r"C:\Users\Ann\d2", needs=Needs(1, 1, longest_path=longest))
    findings = look(windows(long_paths=long_paths), target(platform="win_amd64"), request)
    assert levels(findings, "path-length") == [expected]


def test_a_shorter_prefix_is_proposed() -> None:
    request = Request(prefix="C:\\" + "x" * 60, needs=Needs(1, 1, longest_path=230))
    problem = only_problem(look(windows(), target(platform="win_amd64"), request))
    assert "at most 18 characters" in problem.remedy
    assert "LongPathsEnabled" in problem.remedy


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("/home/ann/d2", "ok"),
        ("/home/ann/" + "x" * 255, "ok"),
        ("/home/ann/" + "x" * 256, "problem"),
        ("/home/ann/" + "ü" * 128, "problem"),
        ("/home/ann" + "/xxxxxxxxx" * 400, "problem"),
    ],
)
def test_path_length_on_linux(prefix: str, expected: str) -> None:
    findings = look(machine(), target(), Request(prefix=prefix, needs=NEEDS))
    assert levels(findings, "path-length") == [expected]


@pytest.mark.parametrize("prefix", ["/home/ann/my programs", "/home/ann/" + "x" * 100])
def test_long_shebangs_and_blanks_are_noted(prefix: str) -> None:
    assert levels(look(machine(), target(), Request(prefix=prefix)), "shebang") == ["note"]


def test_what_may_turn_an_installer_away_is_noted() -> None:
    environment = [
        {"name": "CONDA_EXE", "value": "/opt/conda/bin/conda", "unset_before": False},
        {"name": "CONDA_PREFIX", "value": "/opt/conda", "unset_before": False},
        {"name": "LD_LIBRARY_PATH", "value": "/opt/cuda/lib64", "unset_before": True},
        {"name": "PIP_INDEX_URL", "value": "x" * 200, "unset_before": False},
    ]
    findings = look(machine(environment=environment, configuration=["/etc/pip.conf"]), target())
    messages = [f.message for f in findings if f.code in ("environment", "configuration")]
    assert messages == [
        "LD_LIBRARY_PATH=/opt/cuda/lib64 is set; the installer ignores it",
        "PIP_INDEX_URL=" + "x" * 77 + "... is set; the installer ignores it",
        "conda is active (CONDA_EXE, CONDA_PREFIX); the installer ignores it",
        "/etc/pip.conf exists; it is not read here",
    ]
    assert not problems(findings)


# ---- what an installation needs ----


def test_needs_follow_the_footprints() -> None:
    one = target(runtime=RUNTIME, wheels=["wheelhouse/torch.whl"])
    bundle = Bundle(one, files={"wheelhouse/torch.whl": 900_000_000, "assets/w.pkl": 100, "assets/d.zip": 7})
    bundle.assets = [{"path": "assets/w.pkl"}, {"path": "assets/d.zip", "unpack": True}]
    wanted = needs(bundle, one, REQUEST)
    assert 4_100_000_000 < wanted.prefix_bytes < 5_000_000_000
    assert wanted.prefix_files > 34_002
    assert wanted.temp_bytes > 100_000_000
    assert wanted.largest_file == 900_000_000
    assert wanted.longest_path == 150


def test_uv_needs_the_space_twice_where_it_cannot_link() -> None:
    one = target()
    seen = machine(folders=[{**FOLDER, "hard_links": False}])
    once = needs(None, one, REQUEST, machine())
    twice = needs(None, one, REQUEST, seen)
    assert twice.prefix_bytes == 2 * once.prefix_bytes
    assert needs(None, one, Request(prefix=PREFIX, installer="pip"), seen) == once


def test_a_bundle_without_figures_is_estimated() -> None:
    one = target(footprint=None, wheels=["wheelhouse/torch.whl"])
    bundle = Bundle(one, files={"wheelhouse/torch.whl": 1_000_000_000})
    assert 1_800_000_000 < needs(bundle, one, REQUEST).prefix_bytes < 2_500_000_000


def test_needs_of_a_packed_bundle(bundle: Path) -> None:
    """A real bundle, and Python 3.7 to open and judge it."""
    opened = open_bundle(str(bundle))
    chosen, findings = choose(machine(), opened, REQUEST)
    assert chosen is opened.targets[0]
    assert levels(findings[chosen.name], "space") == ["ok"]
    python = next(
        (p["path"] for p in find_pythons(run_program, {}) if p["version"].startswith("3.7.")),
        None,
    )
    if python is None:
        pytest.skip("no Python 3.7 on this machine")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from wheelferry.client.common import bundle\n"
        "from wheelferry.client.preflight.examine import choose\n"
        "from wheelferry.client.preflight.findings import Request\n"
        "from wheelferry.client.probe.profile import collect\n"
        "seen = collect([sys.argv[2]], run=lambda arguments, seconds: (None, ''))\n"
        "request = Request(prefix=sys.argv[2])\n"
        "print(choose(seen, bundle.open_bundle(sys.argv[2]), request)[0])\n"
    )
    source = Path(wheelferry.__file__).parents[1]
    done = subprocess.run(
        [python, "-W", "error", "-c", program, source, bundle], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("None", "")  # no Python was found for it


# ---- choosing ----

CPU = target(backend="cpu")
DEFAULT = target(backend="default")
CU126 = target(backend="cu126", images=["sm_75", "sm_90"])
CU130 = target(backend="cu130", images=["sm_75", "sm_90"])
OLDER = target("3.9", backend="cpu", torch="2.8.0")


@pytest.mark.parametrize(
    ("seen", "targets", "expected"),
    [
        (None, [OLDER, CPU, CU126, CU130], CPU),
        (None, [DEFAULT, CPU], CPU),
        (nvidia("580.65.06", H100), [CPU, CU126, CU130], CU130),
        (nvidia("535.183.01", H100), [CPU, CU126, CU130], CU126),
        (nvidia("470.182.03", H100), [CPU, CU126, CU130], CPU),
        (nvidia("580.65.06", GTX_1080), [CPU, CU126, CU130], CPU),
        (nvidia("580.65.06", H100), [CPU, DEFAULT], DEFAULT),
        (nvidia("580.65.06", H100), [CPU, OLDER], CPU),
        (None, [CU126, CU130], None),
        (None, [target("3.12"), OLDER], OLDER),
        (None, [target(torch="2.9.1"), target(torch="2.10.0")], target(torch="2.10.0")),
    ],
)
def test_the_best_target(seen: dict[str, Any] | None, targets: list[Target], expected: Target | None) -> None:
    chosen, findings = choose(machine(nvidia=seen), Bundle(*targets), REQUEST)
    assert (chosen and chosen.name) == (expected and expected.name)
    assert set(findings) == {one.name for one in targets}


def test_a_gpu_that_stays_unused_is_said_with_the_reason() -> None:
    seen = machine(nvidia=nvidia("535.183.01", H100))
    chosen, findings = choose(seen, Bundle(CPU, CU130), REQUEST)
    assert chosen is CPU
    (warning,) = [f for f in findings[CPU.name] if f.code == "gpu-passed-over"]
    assert warning.level == "warning"
    assert CU130.name in warning.message
    assert "the driver is 535.183.01; CUDA 13.0 needs 580 or newer" in warning.message
    assert "update NVIDIA's driver to 580" in warning.remedy
    chosen, findings = choose(seen, Bundle(CPU, CU126, CU130), REQUEST)
    assert levels(findings[CU126.name], "gpu-passed-over") == ["note"]
    _, findings = choose(machine(), Bundle(CPU, CU130), REQUEST)
    assert levels(findings[CPU.name], "gpu-passed-over") == []


def test_without_gpu_a_cuda_target_is_the_last_choice() -> None:
    request = Request(prefix=PREFIX, without_gpu=True)
    assert choose(machine(), Bundle(CU130, CU126), request)[0] is CU130
    assert choose(machine(), Bundle(CU130, OLDER), request)[0] is OLDER


def test_a_wanted_target_is_the_only_one_looked_at() -> None:
    chosen, findings = choose(machine(), Bundle(CPU, OLDER, CU130), REQUEST, OLDER.name)
    assert (chosen, list(findings)) == (OLDER, [OLDER.name])
    chosen, findings = choose(machine(), Bundle(CPU, CU130), REQUEST, CU130.name)
    assert chosen is None
    assert problems(findings[CU130.name])


@pytest.mark.parametrize(
    ("size", "text"),
    [(999, "999 B"), (1_500, "1.5 kB"), (2_700_000_000, "2.7 GB"), (64_000_000, "64.0 MB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human_size(size) == text
