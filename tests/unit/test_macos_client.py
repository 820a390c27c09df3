"""macOS as a client: its profile out of outputs in Apple's form, what is refused, install.sh with its tools.

Nothing here runs on macOS: its programs are stand-ins that print what Apple's manual pages and Macs show, and
its sed is one that knows no more than POSIX does.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import wheelferry
from machines import FOLDER, interpreter, machine, target
from wheelferry.catalog import load_recipe
from wheelferry.client.preflight.examine import examine
from wheelferry.client.preflight.findings import Request, problems
from wheelferry.client.probe import folders, macos, profile, pythons
from wheelferry.client.probe import machine as machine_probe
from wheelferry.client.probe.folders import mounted_at
from wheelferry.matrix.fit import TargetOptions, fit_options
from wheelferry.models.planning.supported import default_torch
from wheelferry.models.profile import parse_profile

PREFIX = "/Users/ann/d2"
PLATFORM = "macosx_14_0_arm64"
SYSCTL = """\
machdep.cpu.brand_string: Apple M2 Pro
hw.memsize: 17179869184
hw.optional.arm.FEAT_LSE: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_SVE: 0
hw.optional.arm64: 1
hw.optional.AdvSIMD: 1
hw.optional.floatingpoint: 1
sysctl.proc_translated: 0
"""
INTEL = """\
machdep.cpu.brand_string: Intel(R) Core(TM) i7-8850H CPU @ 2.60GHz
hw.memsize: 34359738368
hw.optional.avx2_0: 1
sysctl: unknown oid 'sysctl.proc_translated'
"""
MOUNT = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse, protect, root data)
/dev/disk4s1 on /Volumes/MY STICK (exfat, local, nodev, nosuid, noexec, noowners)
"""

Run = Callable[[Sequence[str], float], tuple[int | None, str]]


def saying(sysctl: str = SYSCTL, version: str = "14.5", tools: bool = False) -> Run:
    """A `run` that answers as a Mac does."""

    def run(arguments: Sequence[str], _seconds: float) -> tuple[int | None, str]:
        program = Path(arguments[0])
        assert program.is_absolute()
        answers = {
            "sw_vers": (0, f"{version}\n"),
            "sysctl": (1 if "unknown" in sysctl else 0, sysctl),
            "mount": (0, MOUNT),
            "xcode-select": (0 if tools else 2, "/Library/Developer/CommandLineTools\n" if tools else ""),
        }
        return answers.get(program.name, (None, "no such file"))

    return run


@pytest.fixture
def on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (machine_probe, profile, folders, pythons):
        monkeypatch.setattr(module, "MACOS", True)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


@pytest.mark.usefixtures("on_macos")
def test_a_macs_profile(tmp_path: Path) -> None:
    found = profile.collect([str(tmp_path)], run=saying(), environ={"HOME": str(tmp_path)}, search=False)
    assert (found["system"], found["machine"], found["os"]) == ("Darwin", "aarch64", "macOS 14.5")
    assert (found["macos"], found["translated"]) == ("14.5", False)
    assert (found["glibc"], found["loader"]) == (None, None)
    assert found["memory"] == 16 << 30
    assert found["cpu"]["model"] == "Apple M2 Pro"
    assert found["cpu"]["features"] == ["asimd", "asimddp", "atomics", "bf16"]
    assert found["folders"][0]["file_system"] == "apfs"
    assert parse_profile(profile.to_text(found), file="p.json")["macos"] == "14.5"
    assert "macOS 14.5, aarch64" in profile.summary(found)


@pytest.mark.usefixtures("on_macos")
def test_rosetta_is_told_and_intels_processors_are_another_machine(tmp_path: Path) -> None:
    translated = SYSCTL.replace("proc_translated: 0", "proc_translated: 1")
    found = profile.collect(run=saying(translated), environ={"HOME": str(tmp_path)}, search=False)
    assert (found["machine"], found["translated"]) == ("aarch64", True)
    assert "Rosetta" in profile.summary(found)
    found = profile.collect(run=saying(INTEL), environ={"HOME": str(tmp_path)}, search=False)
    assert (found["machine"], found["translated"], found["memory"]) == ("x86_64", False, 32 << 30)
    assert found["cpu"]["features"] is None


def test_what_is_not_told_is_not_made_up() -> None:
    def nothing(_arguments: Sequence[str], _seconds: float) -> tuple[int | None, str]:
        return None, "no such file"

    assert macos.macos_version(nothing) is None
    assert macos.read_sysctl(nothing) == {}
    assert macos.mounts(nothing) == ""
    assert macos.memory_of({}) is None


def test_mounts_are_read_as_linux_writes_them() -> None:
    lines = macos.parse_mounts(MOUNT)
    assert mounted_at("/Users/ann", lines) == ("apfs", ["sealed", "local", "read-only", "journaled"])
    kind, options = mounted_at("/Volumes/MY STICK/d2", lines)
    assert (kind, "noexec" in options) == ("exfat", True)


@pytest.mark.usefixtures("on_macos")
def test_the_python_that_only_asks_for_developer_tools_is_not_started() -> None:
    """Each start of it would open a window."""
    environ = {"HOME": "/nonexistent", "PATH": "/usr/bin"}
    assert not [p for p in pythons._posix_candidates(saying(), environ) if p.startswith("/usr/bin/")]
    some = list(pythons._posix_candidates(saying(tools=True), environ))
    assert any(path.startswith("/usr/bin/") for path in some) == bool(list(Path("/usr/bin").glob("python3")))


def mac(**changes: Any) -> dict[str, Any]:
    """The profile of an ordinary Mac."""
    folder = {**FOLDER, "path": PREFIX, "existing": "/Users/ann", "file_system": "apfs"}
    python = interpreter("3.12.7", platform="macosx-10.13-universal2", path="/opt/homebrew/bin/python3.12")
    seen = {
        "system": "Darwin",
        "machine": "aarch64",
        "os": "macOS 14.5",
        "glibc": None,
        "loader": None,
        "macos": "14.5",
        "translated": False,
        "cpu": {"model": "Apple M2", "cores": 8, "level": None, "features": ["asimd"]},
        "pythons": [python],
        "folders": [folder],
    }
    return machine(**{**seen, **changes})


def test_an_ordinary_mac_has_no_problems() -> None:
    one = target(platform=PLATFORM, python="3.12")
    assert problems(list(examine(mac(), one, Request(prefix=PREFIX)))) == []


@pytest.mark.parametrize(
    ("changes", "platform", "code", "message"),
    [
        ({"macos": "13.6.1"}, PLATFORM, "macos", "macOS is 13.6.1; the target needs 14.0 or newer"),
        ({"macos": None}, PLATFORM, "macos", "which macOS this is cannot be found out"),
        ({"translated": True}, PLATFORM, "rosetta", "Rosetta"),
        ({"machine": "x86_64"}, PLATFORM, "machine", "the processor is x86_64; the target is for aarch64"),
        ({}, "manylinux_2_28_aarch64", "platform", "the system is macOS 14.5; the target is for Linux"),
        (
            {"pythons": [interpreter("3.12.7", platform="macosx-10.9-x86_64")]},
            PLATFORM,
            "python",
            "it was made for macosx-10.9-x86_64",
        ),
    ],
)
def test_what_would_not_work_on_a_mac(
    changes: dict[str, Any], platform: str, code: str, message: str
) -> None:
    found = problems(list(examine(mac(**changes), target(platform=platform, python="3.12"), Request(PREFIX))))
    assert [one.code for one in found] == [code]
    assert message in found[0].message
    assert found[0].remedy


def test_a_linux_machine_is_told_that_a_target_is_for_macos() -> None:
    (problem,) = problems(list(examine(machine(), target(platform=PLATFORM), Request(prefix=PREFIX))))
    assert problem.message.endswith("the target is for macOS")


@pytest.mark.parametrize(
    ("version", "platform", "torch"), [("26.1", PLATFORM, ()), ("13.6.1", "macosx_13_0_arm64", ())]
)
def test_a_bundle_for_a_macs_profile_is_for_its_release(
    version: str, platform: str, torch: tuple[str, ...]
) -> None:
    recipe = load_recipe("sample").recipe
    seen = parse_profile(json.dumps(mac(macos=version)), file="p.json")
    options = fit_options(seen, recipe, "1.0", TargetOptions(), has_runtime=False, default_python="3.12")
    assert (options.platform, options.python, options.torch) == ((platform,), ("3.12",), torch)
    newest = default_torch(recipe, "1.0", python="3.12", platform=platform)
    # later ones need macOS 14
    assert (newest == "2.11.0") == (platform != PLATFORM)


INSTALL_SH = Path(wheelferry.__file__).parent / "client" / "installer" / "install.sh"
SHELLS = [path for path in map(shutil.which, ("dash", "bash", "zsh", "busybox")) if path]


def macs_tools(folder: Path, **programs: str) -> dict[str, str]:
    """An environment with the programs that install.sh starts, and with the sed of POSIX."""
    folder.mkdir()
    for name in ("cut", "dirname", "mktemp", "dd", "rm", "cat", "tail", "gzip", "tar", "cp"):
        (folder / name).symlink_to(str(shutil.which(name)))
    scripts = {
        "sed": f'exec {shutil.which("sed")} --posix "$@"',
        "uname": "echo Darwin",
        # as Apple's, which prints what GNU's does
        "shasum": f'[ "$1 $2" = "-a 256" ] && exec {shutil.which("sha256sum")}',
        "xcode-select": "exit 2",
        **programs,
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


def bundle_of(folder: Path) -> Path:
    """What install.sh looks at: the manifest with install.pyz's hash, and that file."""
    folder.mkdir()
    shutil.copyfile(INSTALL_SH, folder / "install.sh")
    (folder / "install.pyz").write_bytes(b"an installer")
    digest = hashlib.sha256(b"an installer").hexdigest()
    lines = ['{"files": [{', '   "path": "install.pyz",', f'   "sha256": "{digest}"', "}]}"]
    (folder / "bundle.json").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def start(shell: str, bundle: Path, environment: dict[str, str], *options: str) -> tuple[int, str]:
    command = [shell, "sh"] if shell.endswith("busybox") else [shell]
    command += ["--posix"] if shell.endswith("bash") else []
    done = subprocess.run(
        [*command, str(bundle / "install.sh"), *options],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_install_sh_starts_with_the_tools_of_macos(shell: str, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "a bundle")
    environment = macs_tools(tmp_path / "tools", python3='[ "$2" = -c ] || echo "started: $*"')
    assert start(shell, bundle, environment, "--check") == (0, f"started: -I {bundle}/install.pyz --check\n")
    (bundle / "install.pyz").write_bytes(b"another")
    status, said = start(shell, bundle, environment)
    assert (status, "install.pyz is damaged" in said) == (4, True)


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="there is no /usr/bin/python3 here")
@pytest.mark.parametrize("tools", [False, True])
def test_install_sh_leaves_apples_stub_of_python_alone(tools: bool, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle")
    select = f"exit {0 if tools else 2}"
    own = {"python": '[ "$2" = -c ] || echo "started python"', "xcode-select": select}
    environment = macs_tools(tmp_path / "tools", **own)
    environment["PATH"] += ":/usr/bin"  # where python3 is the stub
    status, said = start("/bin/sh", bundle, environment)
    # the real one finds that what it shall start is no archive
    assert (status == 0 and "started python" in said) == (not tools)


@pytest.mark.parametrize("shell", SHELLS)
def test_keys_are_read_with_the_sed_of_posix(shell: str, tmp_path: Path) -> None:
    """GNU's sed has more: on macOS ``\\r`` would take an r from the end of each line."""
    bundle = bundle_of(tmp_path / "bundle")
    (bundle / "bundle.json.sig").write_bytes(b"a signature")
    keys = tmp_path / "keys"
    keys.write_bytes(
        b"\xef\xbb\xbf# a comment\r\n  ssh-ed25519 AAAAC3r user\r\n\r\n"
        b'ann@example namespaces="wheelferry" ssh-ed25519 AAAAC4r\n"b c" ecdsa-sha2-nistp256 AAAAE2 r\n'
    )
    seen = tmp_path / "seen"
    environment = macs_tools(tmp_path / "tools", **{"ssh-keygen": f'cat "$4" >"{seen}"; exit 1'})
    status, said = start(shell, bundle, environment, "--key", str(keys))
    assert (status, "is not signed by whom" in said) == (4, True)
    assert seen.read_text("utf-8").splitlines() == [
        "wheelferry ssh-ed25519 AAAAC3r user",
        'wheelferry  namespaces="wheelferry" ssh-ed25519 AAAAC4r',
        "wheelferry  ecdsa-sha2-nistp256 AAAAE2 r",
    ]
