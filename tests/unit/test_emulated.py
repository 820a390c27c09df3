"""64-bit Arm on x86-64: how QEMU is found and registered, and the root that its programs see."""

import json
import os
import platform
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from arm import auxiliary, emulator, tells_its_stack
from conftest import TARGET
from wheelferry.cache.tools import Tools
from wheelferry.client.probe.machine import parse_cpuinfo
from wheelferry.client.smoke.own_data import OwnData
from wheelferry.errors import InputError, MissingError
from wheelferry.models.manifest import TargetEntry
from wheelferry.system import enter_root
from wheelferry.system.process import run
from wheelferry.system.sandbox import Sandbox, open_sandbox
from wheelferry.verification.machines import qemu
from wheelferry.verification.machines import runner as runners
from wheelferry.verification.machines.arm_root import bring_arm_root, check_arm_root
from wheelferry.verification.machines.qemu import Emulator, find_emulator, is_static, registered_for_arm
from wheelferry.verification.machines.runner import Runner, cannot_run
from wheelferry.verification.own_data import ReadyData

ARM = replace(TARGET, platform="manylinux_2_28_aarch64", python="3.11")

# As the kernel shows an entry; Debian's of 64-bit Arm has the same magic and mask.
ENTRY = """\
enabled
interpreter /usr/bin/qemu-{name}
flags: {flags}
offset 0
magic 7f454c46020101000000000000000000{kind}00{machine}00
mask ffffffffffffff00fffffffffffffffffeffffff
"""


def entry_of(name: str, machine: str, *, flags: str = "F", kind: str = "02") -> str:
    return ENTRY.format(name=name, machine=machine, flags=flags, kind=kind)


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ({"qemu-aarch64": entry_of("aarch64", "b7")}, ["/usr/bin/qemu-aarch64"]),
        ({"another-name": entry_of("aarch64", "b7", kind="03")}, ["/usr/bin/qemu-aarch64"]),
        ({"qemu-aarch64": entry_of("aarch64", "b7").replace("enabled", "disabled")}, []),
        ({"qemu-riscv64": entry_of("riscv64", "f3")}, []),
        ({"python3": "enabled\ninterpreter /usr/bin/python3\nflags: \noffset 0\nmagic 610d0d0a\n"}, []),
        ({"jar": "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n"}, []),
        ({}, []),
    ],
)
def test_the_machines_own_registration_is_known_by_what_it_starts(
    tmp_path: Path, entries: dict[str, str], found: list[str]
) -> None:
    for name, text in {**entries, "status": "enabled\n", "register": ""}.items():
        (tmp_path / name).write_text(text)
    assert [str(path) for path in registered_for_arm(tmp_path)] == found


def test_a_machine_without_binfmt_misc_has_nothing_registered(tmp_path: Path) -> None:
    assert list(registered_for_arm(tmp_path / "none")) == []


def starts(line: str, header: bytes) -> bool:
    """What the kernel does with a registration: compare under the mask (fs/binfmt_misc.c)."""
    _, _, kind, offset, magic, mask, _, flags = line.split(line[0])
    assert (kind, offset, flags) == ("M", "", "F")
    wanted, bits = (bytes.fromhex(text.replace("\\x", "")) for text in (magic, mask))
    return all(have & bit == want & bit for have, want, bit in zip(header, wanted, bits, strict=False))


def test_the_registration_is_for_programs_and_libraries_of_64_bit_arm_alone() -> None:
    line = Emulator(program=Path("/opt/q e m u:8/qemu"), version="8.0").register
    assert line is not None
    program = qemu.tiny_program()
    assert starts(line, program)
    assert starts(line, program[:16] + struct.pack("<H", 3) + program[18:])
    assert not starts(line, program[:16] + struct.pack("<H", 1) + program[18:])  # an object file
    assert not starts(line, Path(sys.executable).resolve().read_bytes()[:64])
    assert Emulator(program=Path("/q"), version="8.0", system_wide=True).register is None


def test_only_a_program_without_a_loader_starts_in_another_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "static").write_bytes(qemu.tiny_program())
    (tmp_path / "text").write_text("#!/bin/sh\n")
    assert is_static(tmp_path / "static")
    assert not is_static(tmp_path / "text")
    dynamic = shutil.which("sh")
    assert dynamic is not None
    assert not is_static(Path(dynamic))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "qemu-aarch64").symlink_to(dynamic)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(qemu, "_REGISTRY", tmp_path / "none")
    with pytest.raises(MissingError, match=r"bin/qemu-aarch64 needs libraries of this machine") as failure:
        find_emulator(run)
    assert failure.value.hint == f"install it, for example: {qemu.SETUP}"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match=r"QEMU for 64-bit Arm is not on this machine"):
        find_emulator(run)


def test_what_is_registered_must_be_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "other"
    program.write_text("#!/bin/sh\necho other 1.0\n")
    program.chmod(0o755)
    (tmp_path / "registry").mkdir()
    text = entry_of("aarch64", "b7").replace("/usr/bin/qemu-aarch64", str(program))
    (tmp_path / "registry" / "arm").write_text(text)
    monkeypatch.setattr(qemu, "_REGISTRY", tmp_path / "registry")
    with pytest.raises(MissingError, match=r"other is not QEMU: it says 'other 1\.0'"):
        find_emulator(run)
    program.write_text("#!/bin/sh\necho 'qemu-aarch64 version 9.2.1 (Debian)'\n")
    assert find_emulator(run) == Emulator(program=program, version="9.2.1", system_wide=True)
    program.unlink()  # a container registered it, and the kernel keeps it open
    assert find_emulator(run).version == "unknown"


def test_the_processor_that_is_told_is_the_one_that_is_emulated(tmp_path: Path, tools: Tools) -> None:
    """The names in /proc/cpuinfo are those of the bits that QEMU gives a program (AT_HWCAP, 16)."""
    names = [
        "fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp",
        "cpuid", "asimdrdm", "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp",
    ]  # fmt: skip
    program = tmp_path / "stack"
    program.write_bytes(tells_its_stack())
    program.chmod(0o755)
    command: list[str | Path] = [emulator(tools).program, "-cpu", qemu.PROCESSOR, program]
    stack = subprocess.run(command, check=True, capture_output=True, env={}).stdout
    bits = auxiliary(stack)[16]
    assert [name for bit, name in enumerate(names) if bits >> bit & 1] == sorted(
        _features(qemu.cpuinfo(1)), key=names.index
    )
    model, level, features = parse_cpuinfo(qemu.cpuinfo(4))
    assert (model, level) == ("Cortex-A76", None)
    assert "atomics" in features


def _features(text: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith("Features")]
    return line.partition(":")[2].split()


def test_qemu_runs_a_program_or_the_reason_is_told(tools: Tools) -> None:
    found = emulator(tools)
    assert found.version[0].isdigit() or found.version == "unknown"


@pytest.fixture
def outside(tmp_path: Path) -> Sandbox:
    sandbox = open_sandbox(tmp_path / "home", run, mounts=True)
    if not sandbox.isolated:
        pytest.skip(f"nothing can be mounted on this machine: {sandbox.evidence['reason']}")
    return sandbox


def entered(outside: Sandbox, root: Path, folders: Sequence[str | Path], script: str) -> str:
    """What a shell script says in another root, whose programs are this machine's own."""
    work = outside.home.parent
    (work / "place").mkdir()
    document = {
        "place": str(work / "place"),
        "root": str(root),
        "writable": False,
        "folders": [*map(str, folders), "/usr"],
        "files": {"/proc/cpuinfo": str(root / "etc" / "here")},
        "register": None,
    }
    (work / "spec.json").write_text(json.dumps(document))
    loader = (sys.executable, "-I", str(Path(enter_root.__file__)), str(work / "spec.json"))
    inside = replace(outside, loader=loader)
    return inside(["sh", "-c", script], step="enter", log=work / "log", check=False).output


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system that borrows the programs of this machine."""
    root = tmp_path / "system ü"
    for name in ("etc", "usr/own", "var/lib/deep", "tmp"):
        (root / name).mkdir(parents=True)
    (root / "etc" / "here").write_text("of the system\n")
    (root / "var" / "lib" / "kept").write_text("beside it\n")
    (root / "tmp" / "left").touch()
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    return root


def test_the_other_root_has_its_own_files_and_the_folders_that_are_asked_for(
    outside: Sandbox, root: Path, tmp_path: Path
) -> None:
    """A folder asked for may lie below one of the system's, which keeps what is beside it."""
    bundle = tmp_path / "the bundle (ü)"
    bundle.mkdir()
    (bundle / "file").write_text("of this machine\n")
    seen = entered(
        outside,
        root,
        [bundle],
        f"cd '{bundle}'; cat /etc/here /proc/cpuinfo /var/lib/kept file; echo new > made; ls /; ls /tmp; "
        "(echo x > /etc/here) 2>/dev/null || echo read-only; test -d /usr/own || echo this usr",
    )
    lines = seen.splitlines()
    assert lines[:4] == ["of the system", "of the system", "beside it", "of this machine"]
    assert {"etc", "proc", "usr", "tmp", "var"} <= set(lines)
    assert "home" not in lines
    assert "left" not in lines
    assert lines[-2:] == ["read-only", "this usr"]
    assert (bundle / "made").read_text() == "new\n"
    assert (root / "etc" / "here").read_text() == "of the system\n"
    assert list((tmp_path / "place").iterdir()) == []  # nothing is mounted outside


def test_a_folder_below_one_of_the_systems_lies_beside_what_that_has(
    outside: Sandbox, root: Path, tmp_path: Path
) -> None:
    """As if wheelferry lay in /var/lib/deep of this machine, which the system has too."""
    place, shown = tmp_path / "laid", tmp_path / "shown"
    place.mkdir()
    shown.mkdir()
    (shown / "file").write_text("shown\n")
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import enter_root as e;"
        "system, place, shown = map(Path, sys.argv[2:]);"
        "e.lay_out(system, place, {str(shown): ('var', 'lib', 'deep', 'new')}, writable=True);"
        "print((place / 'var/lib/kept').read_text(), (place / 'var/lib/deep/new/file').read_text())"
    )
    folder = str(Path(enter_root.__file__).parent)
    done = outside(
        [sys.executable, "-I", "-c", code, folder, root, place, shown], step="lay out", log=tmp_path / "log"
    )
    assert done.output.split() == ["beside", "it", "shown"]


def test_a_folder_below_a_link_of_the_system_is_refused(outside: Sandbox, root: Path) -> None:
    said = entered(outside, root, ["/bin/there"], "true")
    assert "is a link; this lies below it: '/bin/there'" in said


def test_a_kernel_that_does_not_know_the_processor_is_told(
    outside: Sandbox, root: Path, tmp_path: Path
) -> None:
    foreign = bytearray(qemu.tiny_program())
    struct.pack_into("<H", foreign, 18, 0x1234)  # no processor has that number
    (root / "etc" / "foreign").write_bytes(foreign)
    (root / "etc" / "foreign").chmod(0o755)
    entered(outside, root, [], "true")
    inside = replace(
        outside,
        loader=(sys.executable, "-I", str(Path(enter_root.__file__)), str(tmp_path / "spec.json")),
    )
    done = inside(["/etc/foreign"], step="enter", log=tmp_path / "log", check=False)
    assert done.returncode == enter_root.CANNOT_START
    assert "this kernel does not start /etc/foreign: QEMU is not registered as needed" in done.output


def test_what_a_user_gives_is_visible_on_the_machine_that_trains(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    given = OwnData("parts", str(weights), "a-name-of-the-zoo", [], 60.0, False)
    ready = ReadyData(own=given, folder=tmp_path / "data")
    assert ready.files == (tmp_path / "data", weights)


def test_folders_are_visible_by_each_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert qemu.visible([tmp_path / "link", tmp_path / "real"]) == (
        str(tmp_path / "link"),
        str(tmp_path / "real"),
    )


def entry(target_python: str = "3.11") -> TargetEntry:
    return SimpleNamespace(target=replace(ARM, python=target_python), runtime=None)  # type: ignore[return-value]


def test_a_system_that_is_given_must_have_the_targets_python(tmp_path: Path, tools: Tools) -> None:
    given = tmp_path / "given"
    with pytest.raises(InputError, match="no such file or folder"):
        check_arm_root(given)
    given.mkdir()
    with pytest.raises(InputError, match="it has no folder usr"):
        check_arm_root(given)
    (given / "usr" / "local" / "bin").mkdir(parents=True)
    (given / "usr" / "local" / "bin" / "python3.11").symlink_to("/opt/python/bin/python3.11")
    found = bring_arm_root(entry(), given, tmp_path, tools, finish=_never)
    assert found.root == given
    assert found.python == Path("/usr/local/bin/python3.11")
    assert found.origin == "given with --arm-root"
    with pytest.raises(InputError, match=r"there is no python3\.12 in usr/local/bin, usr/bin, bin"):
        bring_arm_root(entry("3.12"), given, tmp_path, tools, finish=_never)


def test_an_archive_of_a_system_is_unpacked_without_its_devices(tmp_path: Path, tools: Tools) -> None:
    given = tmp_path / "given"
    (given / "usr" / "bin").mkdir(parents=True)
    (given / "usr" / "bin" / "python3.11").touch()
    (given / "dev").mkdir()
    (given / "dev" / "console").touch()
    subprocess.run(["tar", "-czf", tmp_path / "image ü.tar.gz", "-C", given, "."], check=True)
    (tmp_path / "work").mkdir()
    found = bring_arm_root(entry(), tmp_path / "image ü.tar.gz", tmp_path / "work", tools, finish=_never)
    assert found.python == Path("/usr/bin/python3.11")
    assert (found.root / "usr" / "bin" / "python3.11").is_file()
    assert list((found.root / "dev").iterdir()) == []
    (tmp_path / "other").mkdir()
    (tmp_path / "text.tar").write_text("no archive")
    with pytest.raises(InputError, match=r"unpack .*text\.tar failed"):
        bring_arm_root(entry(), tmp_path / "text.tar", tmp_path / "other", tools, finish=_never)


def _never(root: Path, program: Path | None) -> None:
    raise AssertionError(f"{program} of {root} is not to be started")


def _package(folder: Path, name: str, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / name / path).write_text(text)
    control = folder / name / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(f"Package: {name}\nVersion: 1\nArchitecture: arm64\nMaintainer: x\nDescription: x\n")
    command: list[str | Path] = [
        "dpkg-deb",
        "--build",
        "--root-owner-group",
        folder / name,
        folder / f"{name}.deb",
    ]
    subprocess.run(command, check=True, capture_output=True)


APT = """\
#!/bin/sh
echo "$@" >> "{log}"
for word; do case $word in Dir::Cache=*) cache=${{word#*=}};; esac; done
case "$*" in
    *download-only*python3.12*) echo "E: Unable to locate package python3.12"; exit 100;;
    *download-only*) cp "{packages}"/*.deb "$cache/archives/";;
esac
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for apt-get, which has two packages; the file has what it was asked for."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("packages are made with dpkg-deb, which is not on this machine")
    packages, log = tmp_path / "packages", tmp_path / "asked"
    _package(packages, "libc6", {"lib/aarch64/libc.so": "libc", "usr/lib/other": "other"})
    _package(packages, "base", {"bin/sh": "sh", "etc/debian_version": "12.12\n", "usr/sbin/x": "x"})
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apt-get").write_text(APT.format(log=log, packages=packages))
    (tmp_path / "bin" / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return log


def test_a_system_is_made_of_packages_once(apt: Path, tmp_path: Path, tools: Tools) -> None:
    finished: list[Path | None] = []

    def finish(root: Path, program: Path | None) -> None:
        assert (root / "bin" / "sh").read_text() == "sh"
        finished.append(program)

    made = bring_arm_root(entry(), None, tmp_path, tools, finish=finish)
    assert made.origin == "packages of Debian 12.12"
    assert made.python == Path("/usr/bin/python3.11")
    assert [str((made.root / name).readlink()) for name in ("bin", "lib", "sbin")] == [
        "usr/bin",
        "usr/lib",
        "usr/sbin",
    ]
    assert (made.root / "usr" / "lib" / "aarch64" / "libc.so").read_text() == "libc"
    assert (made.root / "lib" / "other").read_text() == "other"
    assert (made.root / "etc" / "passwd").read_text().startswith("root:")
    update, install = apt.read_text().splitlines()
    assert "APT::Architectures=arm64" in update
    assert install.endswith("python3.11 python3.11-venv")
    assert bring_arm_root(entry(), None, tmp_path, tools, finish=_never) == made
    assert len(apt.read_text().splitlines()) == 2
    assert finished == [Path("/usr/bin/python3.11")]


def test_a_python_that_the_distribution_lacks_is_named_with_the_ways_out(
    apt: Path, tmp_path: Path, tools: Tools
) -> None:
    with pytest.raises(MissingError, match=r"Unable to locate package python3\.12") as failure:
        bring_arm_root(entry("3.12"), None, tmp_path, tools, finish=_never)
    assert failure.value.hint is not None
    assert "--runtime, or give a system that has it with --arm-root DIR|FILE" in failure.value.hint
    assert list(tools.store.machines.glob("arm64*")) == []
    assert apt.is_file()


def test_a_machine_without_apt_is_told_what_to_give(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="apt-get and dpkg-deb"):
        bring_arm_root(entry(), None, tmp_path, tools, finish=_never)


@pytest.mark.parametrize(
    ("machine", "runner", "reason"),
    [
        ("x86_64", None, "manylinux_2_28_aarch64 does not run on x86_64; try --runner qemu"),
        ("x86_64", Runner.WINE, "manylinux_2_28_aarch64 does not run on x86_64"),
        ("x86_64", Runner.QEMU, None),
        ("aarch64", Runner.QEMU, None),
        ("ppc64le", None, "manylinux_2_28_aarch64 does not run on ppc64le"),
        (
            "ppc64le",
            Runner.QEMU,
            "QEMU runs manylinux_2_28_aarch64 on Linux on x86_64, this machine is ppc64le",
        ),
    ],
)
def test_which_machine_runs_64_bit_arm(
    machine: str, runner: Runner | None, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(runners, "host_glibc_minor", lambda: 36)
    assert cannot_run(ARM, runner) == reason
    assert cannot_run(replace(TARGET, platform="win_amd64"), runner) is not None or runner is Runner.WINE
