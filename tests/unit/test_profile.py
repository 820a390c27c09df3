"""The profile of a machine: what real tools print, and folders that are really tried."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from wheelferry.bundle.zipapp import probe_program
from wheelferry.client.preflight.examine import PROFILE_FORMAT
from wheelferry.client.probe import environment, machine, nvidia, pythons
from wheelferry.client.probe.environment import NEUTRALISED, configuration_files, hostile_variables, redacted
from wheelferry.client.probe.folders import look_at_folder, mounted_at
from wheelferry.client.probe.machine import find_vc_runtime, parse_cpuinfo
from wheelferry.client.probe.main import main
from wheelferry.client.probe.nvidia import find_nvidia, find_nvidia_smi, parse_driver
from wheelferry.client.probe.profile import collect, summary, to_text
from wheelferry.client.probe.programs import run_program
from wheelferry.client.probe.pythons import ask_python, candidate_pythons, find_pythons, parse_launcher
from wheelferry.models.profile import parse_profile

# As the drivers write it. The open kernel module has its own wording, some versions have two parts only.
PROPRIETARY = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024
GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)
"""
OPEN = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  565.57.01  Release Build  (dvs-builder@U16-A24-9-2)
GCC version:  gcc version 13.3.0 (Ubuntu 13.3.0-6ubuntu2~24.04)
"""
OPEN_SHORT = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  555.58  Release Build  (portage@localhost)\n"
)
OPEN_ARM = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.82.07  Release Build  (builder@host)\n"
)

SMI = "/usr/bin/nvidia-smi"
NO_FIELD = 'Field "compute_cap" is not a valid field to query.\n\n'
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.183\n"
NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
    "NVIDIA driver is installed and running.\n\n"
)

Answers = Mapping[str, tuple[int | None, str]]


def answering(answers: Answers) -> Callable[[list[str], float], tuple[int | None, str]]:
    """A runner that gives the answer whose key is part of the command."""

    def run(arguments: list[str], seconds: float) -> tuple[int | None, str]:
        command = " ".join(arguments)
        return next((answer for key, answer in answers.items() if key in command), (None, "not found"))

    return run


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (PROPRIETARY, ("535.183.01", "proprietary")),
        (OPEN, ("565.57.01", "open")),
        (OPEN_SHORT, ("555.58", "open")),
        (OPEN_ARM, ("580.82.07", "open")),
        ("", (None, None)),
        ("something else\n", (None, None)),
    ],
)
def test_the_driver_of_the_kernel(text: str, found: tuple[str | None, str | None]) -> None:
    assert parse_driver(text) == found


def test_devices_with_their_compute_capability() -> None:
    output = "NVIDIA H200, 9.0, 143771, 580.65.06\nNVIDIA GeForce RTX 3090, 8.6, 24576, 580.65.06\n"
    found = find_nvidia(answering({"compute_cap": (0, output)}), SMI, OPEN, 2)
    assert found["driver"] == "565.57.01"
    assert found["module"] == "open"
    assert [(d["name"], d["capability"]) for d in found["devices"]] == [
        ("NVIDIA H200", "9.0"),
        ("NVIDIA GeForce RTX 3090", "8.6"),
    ]
    assert found["devices"][0]["memory"] == 143771 * 2**20
    assert found["error"] == ""


def test_an_old_nvidia_smi_is_helped_out_by_the_driver_library() -> None:
    library = {
        "cuda": "11.4",
        "devices": [{"name": "Tesla T4", "capability": "7.5", "memory": 15843721216}],
    }
    answers: Answers = {
        "compute_cap": (2, NO_FIELD),
        "memory.total": (0, "Tesla T4, 15109, 470.182.03\n"),
        "ctypes": (0, "a warning\n" + json.dumps(library) + "\n"),
    }
    found = find_nvidia(answering(answers), SMI, PROPRIETARY, 1)
    assert found["cuda"] == "11.4"
    assert found["devices"] == library["devices"]


def test_without_the_library_the_capability_stays_unknown() -> None:
    answers: Answers = {
        "compute_cap": (2, NO_FIELD),
        "memory.total": (0, "Tesla T4, [N/A], 470.182.03\n"),
        "ctypes": (1, "Traceback ...\nOSError: libcuda.so.1: cannot open shared object file\n"),
    }
    found = find_nvidia(answering(answers), SMI, "", 1)
    assert found["driver"] == "470.182.03"
    assert found["devices"] == [{"name": "Tesla T4", "capability": None, "memory": None}]


@pytest.mark.parametrize(
    ("version", "answer", "driver", "error"),
    [
        (PROPRIETARY, (18, MISMATCH), "535.183.01", "Driver/library version mismatch"),
        ("", (9, NO_DRIVER), None, "couldn't communicate"),
        (PROPRIETARY, (None, "no answer in 15 s"), "535.183.01", "no answer in 15 s"),
        (PROPRIETARY, (6, "No devices were found\n"), "535.183.01", "No devices were found"),
        (PROPRIETARY, (3, ""), "535.183.01", "exit status 3"),
    ],
)
def test_what_is_wrong_is_said(
    version: str, answer: tuple[int | None, str], driver: str | None, error: str
) -> None:
    found = find_nvidia(answering({"nvidia-smi": answer}), SMI, version, 1)
    assert found["driver"] == driver
    assert found["devices"] == []
    assert error in found["error"]


def test_a_card_without_a_driver_is_not_no_card() -> None:
    assert find_nvidia(answering({}), None, "", 0) is None
    assert find_nvidia(answering({}), SMI, "", 0) is None
    found = find_nvidia(answering({}), None, "", 1)
    assert (found["driver"], found["error"]) == (None, "no nvidia-smi")


V2 = "fpu sse sse2 cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = V2 + " avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ("fpu sse sse2", 1),
        (V2, 2),
        (V2 + " avx", 2),
        (V3, 3),
        (V3 + " avx512f", 3),
        (V3 + " avx512f avx512bw avx512cd avx512dq avx512vl", 4),
        (V3.replace("popcnt ", ""), 1),
    ],
)
def test_the_level_of_the_processor(flags: str, level: int) -> None:
    text = f"processor\t: 0\nmodel name\t: Some  CPU @ 2.00GHz\nflags\t\t: {flags}\nbugs\t\t: spectre_v1\n"
    name, found, features = parse_cpuinfo(text)
    assert (name, found) == ("Some  CPU @ 2.00GHz", level)
    assert features is not None
    assert set(features) == set(flags.split()) - {"fpu", "sse", "sse2"}


def test_other_architectures_have_no_level() -> None:
    text = "processor\t: 0\nFeatures\t: fp asimd\n\nModel\t\t: Raspberry Pi 5\n"
    assert parse_cpuinfo(text) == ("Raspberry Pi 5", None, ["asimd"])


def test_arms_processors_are_named_and_what_all_cores_have_counts() -> None:
    big = "processor\t: 1\nFeatures\t: fp asimd atomics asimddp crc32\nCPU part\t: 0xd0b\n"
    little = "processor\t: 0\nFeatures\t: fp asimd atomics\nCPU part\t: 0xd03\n"
    assert parse_cpuinfo(little + big) == ("Cortex-A53", None, ["asimd", "atomics"])
    assert parse_cpuinfo("processor\t: 0\n") == ("", None, None)


MOUNTS = r"""
/dev/sda1 / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw,nosuid,nodev,noexec 0 0
/dev/sdb1 /media/USB\040STICK vfat rw,uid=1000,utf8 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdc1 /data ext4 rw 0 0
overlay /data overlay ro 0 0
""".strip()


@pytest.mark.parametrize(
    ("path", "kind", "options"),
    [
        ("/", "ext4", ["rw", "relatime"]),
        ("/usr/lib", "ext4", ["rw", "relatime"]),
        ("/run", "tmpfs", ["rw", "nosuid", "nodev", "noexec"]),
        ("/runs", "ext4", ["rw", "relatime"]),
        ("/media/USB STICK/bundle", "vfat", ["rw", "uid=1000", "utf8"]),
        ("/home/ann", "nfs4", ["rw", "vers=4.2"]),
        ("/data/x", "overlay", ["ro"]),
    ],
)
def test_the_mount_that_a_path_lies_in(path: str, kind: str, options: list[str]) -> None:
    assert mounted_at(path, MOUNTS) == (kind, options)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("PIP_INDEX_URL", "https://ann:geheim@mirror.example/simple", "https://***@mirror.example/simple"),
        ("PIP_INDEX_URL", "https://token@mirror.example/simple", "https://***@mirror.example/simple"),
        ("PIP_INDEX_URL", "https://a:p@ss/w@mirror.example/simple", "https://***@mirror.example/simple"),
        ("PIP_INDEX_URL", "https://mirror.example/simple", "https://mirror.example/simple"),
        ("PIP_EXTRA_INDEX_URL", "https://a:b@one.example http://two.example", "https://***@one.example http://two.example"),
        ("PIP_PROXY", "ann:geheim@proxy.example:3128", "***@proxy.example:3128"),
        ("UV_INDEX", "corp=https://a:b@one.example/s", "corp=https://***@one.example/s"),
        ("UV_INDEX_CORP_PASSWORD", "geheim", "***"),
        ("UV_PUBLISH_TOKEN", "pypi-geheim", "***"),
        ("PIP_INDEX_URL", "https://one.example/s?api_key=geheim&x=1", "https://one.example/s?api_key=***&x=1"),
        ("CONDA_CHANNELS", "https://one.example/t/geheim/main", "https://one.example/t/***/main"),
        ("LD_LIBRARY_PATH", "/opt/a:/opt/b", "/opt/a:/opt/b"),
    ],
)  # fmt: skip
def test_secrets_stay_on_the_machine(name: str, value: str, shown: str) -> None:
    assert redacted(name, value) == shown
    assert "geheim" not in json.dumps(hostile_variables({name: value}))


def test_variables_that_may_disturb() -> None:
    environ = {
        "PATH": "/usr/bin",
        "HOME": "/home/ann",
        "LDFLAGS": "-s",
        "LD_LIBRARY_PATH": "/opt/lib",
        "PYTHONPATH": "",
        "PIP_INDEX_URL": "https://mirror.example",
        NEUTRALISED: "PYTHONHOME=/opt/python\nLD_PRELOAD=x.so=y\n\nnonsense",
    }
    found = {v["name"]: (v["value"], v["unset_before"]) for v in hostile_variables(environ)}
    assert found == {
        "LD_LIBRARY_PATH": ("/opt/lib", False),
        "LD_PRELOAD": ("x.so=y", True),
        "PIP_INDEX_URL": ("https://mirror.example", False),
        "PYTHONHOME": ("/opt/python", True),
    }


def test_configuration_that_exists_and_no_other(tmp_path: Path) -> None:
    own = tmp_path / ".config" / "pip" / "pip.conf"
    own.parent.mkdir(parents=True)
    own.write_text("[global]\nindex-url = https://ann:geheim@mirror.example\n", "utf-8")
    named = tmp_path / "my.conf"
    named.touch()
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path), "PIP_CONFIG_FILE": str(named)}
    found = [path for path in configuration_files(environ) if path.startswith(str(tmp_path))]
    assert found == [str(own), str(named)]
    environ["PIP_CONFIG_FILE"] = os.devnull
    assert os.devnull not in configuration_files(environ)


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", "utf-8")
    path.chmod(0o755)
    return path


def test_pythons_are_looked_for_in_the_usual_places(tmp_path: Path) -> None:
    home = tmp_path / "home"
    expected = {
        program(tmp_path / "tools" / "python3.12"),
        program(home / ".pyenv" / "versions" / "3.8.18" / "bin" / "python3.8"),
        program(home / "miniconda3" / "bin" / "python3.11"),
        program(home / "miniconda3" / "envs" / "work" / "bin" / "python3.10"),
        program(home / ".local" / "share" / "uv" / "python" / "cpython-3.13" / "bin" / "python3.13t"),
    }
    program(tmp_path / "tools" / "python3.12-config")
    program(tmp_path / "tools" / "python2")
    (tmp_path / "tools" / "python3.7").write_text("not executable", "utf-8")
    # a link, also that of a virtual environment, leads to what is there already
    (tmp_path / "tools" / "python3").symlink_to("python3.12")
    (tmp_path / "tools" / "python").symlink_to(tmp_path / "tools" / "python3.12")
    path = f"{tmp_path / 'tools'}{os.pathsep}relative{os.pathsep}{tmp_path / 'absent'}"
    found = candidate_pythons(answering({}), {"HOME": str(home), "PATH": path})
    assert {Path(one) for one in found if one.startswith(str(tmp_path))} == expected


PY_LAUNCHER = r"""
 -V:3.13 *        C:\Users\Ann Müller\AppData\Local\Programs\Python\Python313\python.exe
 -V:3.8           C:\Python38\python.exe
 -3.7-64        C:\Program Files\Python37\python.exe *
 -V:Astral/CPython3.12.4 D:\uv\cpython-3.12.4\python.exe
"""


def test_what_the_launcher_of_windows_lists() -> None:
    assert parse_launcher(PY_LAUNCHER) == [
        r"C:\Users\Ann Müller\AppData\Local\Programs\Python\Python313\python.exe",
        r"C:\Python38\python.exe",
        r"C:\Program Files\Python37\python.exe",
        r"D:\uv\cpython-3.12.4\python.exe",
    ]


def test_the_usual_places_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders that are looked into; what only Windows itself can answer is not asked here."""
    for module in (environment, machine, nvidia, pythons):
        monkeypatch.setattr(module, "WINDOWS", True)
    folders = ("SystemRoot", "ProgramFiles", "ProgramData", "LOCALAPPDATA", "APPDATA", "USERPROFILE")
    environ = {name: str(tmp_path / name) for name in folders}
    environ["SystemDrive"] = str(tmp_path / "disk")
    shop = tmp_path / "LOCALAPPDATA" / "Microsoft" / "WindowsApps"
    on_path = tmp_path / "path"
    environ["PATH"] = os.pathsep.join(map(str, (shop, on_path)))
    program(shop / "python.exe")
    expected = [
        program(on_path / "python.exe"),
        program(tmp_path / "LOCALAPPDATA" / "Programs" / "Python" / "Python312" / "python.exe"),
        program(tmp_path / "USERPROFILE" / "miniconda3" / "python.exe"),
    ]
    assert sorted(candidate_pythons(answering({}), environ)) == sorted(map(str, expected))
    answers = answering({"py -0p": (0, " -V:3.13 *        C:\\Python313\\python.exe\n")})
    found = candidate_pythons(answers, environ)
    assert any(one.endswith("C:\\Python313\\python.exe") for one in found)

    smi = program(tmp_path / "SystemRoot" / "System32" / "nvidia-smi.exe")
    assert find_nvidia_smi(environ) == str(smi)
    program(smi.with_name("msvcp140.dll"))
    assert find_vc_runtime(environ) == ["msvcp140.dll"]
    pip = program(tmp_path / "APPDATA" / "pip" / "pip.ini")
    assert configuration_files(environ) == [str(pip)]


@pytest.mark.parametrize(
    ("status", "output"),
    [
        (None, "Permission denied"),
        (127, "pyenv: python3.8: command not found\n"),
        (2, "Unknown option: -I\n"),
        (0, ""),
        (0, "{not json\n"),
    ],
)
def test_what_is_no_python_is_left_out(status: int | None, output: str) -> None:
    assert ask_python("/usr/bin/python", answering({"python": (status, output)})) is None


def test_this_python_says_what_it_is() -> None:
    found = ask_python(sys.executable, run_program)
    assert found["version"].split(".")[:2] == [str(part) for part in sys.version_info[:2]]
    assert found["venv"]
    assert found["bits"] == 64
    assert found["virtual"] == (sys.prefix != sys.base_prefix)


def test_a_program_that_hangs_is_left_behind() -> None:
    status, output = run_program([sys.executable, "-c", "import time; time.sleep(60)"], 0.3)
    assert status is None
    assert "no answer" in output


def test_a_program_that_is_not_there() -> None:
    assert run_program(["/nonexistent/program"], 1)[0] is None


def test_programs_start_without_hostile_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")
    status, output = run_program([sys.executable, "-c", "print('fine')"], 15)
    assert (status, output.strip()) == (0, "fine")


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    found = look_at_folder(str(tmp_path / "not" / "there"), run_program)
    assert found["existing"] == str(tmp_path)
    assert not found["exists"]
    assert found["writable"]
    assert (found["symlinks"], found["hard_links"], found["executable"]) == (True, True, True)
    assert found["free_bytes"] > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_programs_do_not_start(tmp_path: Path) -> None:
    found = look_at_folder(str(tmp_path), answering({"program": (None, "Permission denied")}))
    assert found["exists"]
    assert found["executable"] is False
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_probe_left_is_removed_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, busy = (
        tmp_path / f".wheelferry-probe-{ended.pid}-x",
        tmp_path / f".wheelferry-probe-{os.getpid()}-x",
    )
    for folder in (left, busy, tmp_path / ".wheelferry-probe-mine"):
        folder.mkdir()
        (folder / "program").touch()
    assert look_at_folder(str(tmp_path), run_program)["writable"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([busy.name, ".wheelferry-probe-mine"])


def test_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = look_at_folder(str(tmp_path / "file" / "sub"), run_program)
    assert found["existing"] == str(tmp_path / "file")
    assert (found["writable"], found["reason"]) == (False, "it is not a folder")


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    found = look_at_folder(str(tmp_path / "link" / "sub"), run_program)
    assert (found["writable"], found["free_bytes"]) == (False, None)


def test_the_whole_is_json_and_what_bundle_reads() -> None:
    seen = collect(["/run/somewhere"], run=answering({}), environ={"PATH": ""})
    assert seen["format"] == PROFILE_FORMAT
    assert re.fullmatch(r"2\.\d+", seen["glibc"] or "2.0")
    parsed = parse_profile(to_text(seen), file="profile.json")
    assert parsed["machine"] == seen["machine"]
    assert summary(seen)


def test_named_pythons_come_first(tmp_path: Path) -> None:
    link = tmp_path / "my-python"
    link.symlink_to(sys.executable)
    found = find_pythons(run_program, {"HOME": str(tmp_path), "PATH": ""}, [str(link)])
    assert found[0]["path"] == str(link)


def test_it_can_be_carried_by_itself() -> None:
    """Nothing of the installer is in the one file, and nothing that it needs is missing."""
    with zipfile.ZipFile(io.BytesIO(probe_program())) as archive:
        names = archive.namelist()
    packages = {name.split("/")[2] for name in names if name.count("/") == 3}
    assert packages == {"common", "probe"}


def _find(python: str) -> str | None:
    candidates: list[dict[str, Any]] = find_pythons(run_program, os.environ)
    return next((one["path"] for one in candidates if one["version"].startswith(python + ".")), None)


@pytest.mark.parametrize("python", ["3.7", "3.13"])
def test_it_runs_as_a_script_of_its_own(python: str, tmp_path: Path) -> None:
    program = _find(python)
    if program is None:
        pytest.skip(f"no Python {python} on this machine")
    script = tmp_path / "stick" / "probe.pyz"
    script.parent.mkdir()
    script.write_bytes(probe_program())
    done = subprocess.run(
        [program, "-W", "error", script, "--out", "profile.json", "--folder", "new folder"],
        cwd=script.parent,
        env={"HOME": str(tmp_path), "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "CPU:" in done.stdout
    assert sorted(path.name for path in script.parent.iterdir()) == ["probe.pyz", "profile.json"]
    text = (script.parent / "profile.json").read_text("ascii")
    assert parse_profile(text, file="profile.json")["folders"][0]["path"].endswith("new folder")


def test_a_profile_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "no" / "profile.json"), "--folder", str(tmp_path)]) == 3
    assert "cannot write" in capsys.readouterr().err
