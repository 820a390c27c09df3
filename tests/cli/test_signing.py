"""Seals: what was signed is recognised, and everything else is refused, wherever it is checked."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from clients import pack_client_bundle
from conftest import pack_bundle, reseal, wheelferry
from effort import trials
from sshkeys import SSH_KEYGEN, keygen, make_key, public, require_ssh_keygen, sign_by_hand
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.client.common.errors import NotPossibleHere
from wheelferry.client.common.signature import CHECK_COMMAND, Signers, read_signers
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.manifest import NAME, SIGNATURE
from wheelferry.transfer.merge import merge
from wheelferry.transfer.sign import sign
from wheelferry.verification.static.level import verify_static


@pytest.fixture(autouse=True)
def _ssh() -> None:
    require_ssh_keygen()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key in a folder whose name has a space and a letter beyond ASCII."""
    return make_key(tmp_path / "Schlüssel bund" / "alice", comment="alice@example.com")


@pytest.fixture
def signed(bundle: Path, key: Path, tools: Tools) -> Path:
    sign(bundle, key, tools)
    return bundle


WORDS = "open sesame"


def signers_of(key: Path, bundle: Path) -> Signers:
    signers: Signers = read_signers(str(public(key)), str(bundle))
    return signers


def found(bundle: Path, tools: Tools, key: Path | None) -> set[tuple[str, str]]:
    """Codes and files of the problems that verification names; with `key` it must have signed the bundle."""
    _, problems = verify_static(bundle, tools, signers=signers_of(key, bundle) if key else None)
    return {(problem.code.name, problem.file) for problem in problems}


WRONG = {("SIGNATURE", SIGNATURE)}


def rewrite(path: Path, data: bytes) -> None:
    """Write a file anew that may share its bytes with the store."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


# ---- sign ----


def test_a_signed_bundle_is_recognised_by_the_key_and_by_allowed_signers(
    bundle: Path, key: Path, tmp_path: Path
) -> None:
    done = wheelferry("sign", bundle, "--key", key, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(f"# ours\n\n{told['allowed_signer']}\n", "utf-8")
    for file in (public(key), allowed):
        done = wheelferry("verify", bundle, "--level", "static", "--key", file)
        assert done.returncode == 0, done.stdout
        assert "signed by: " in done.stdout
        assert told["signed_by"] in done.stdout
    assert told["signed_by"].startswith("ssh-ed25519 SHA256:")
    # and without wheelferry, by the command that sign prints
    command = CHECK_COMMAND.replace("allowed_signers", f"'{allowed}'")
    by_hand = subprocess.run(["sh", "-c", command], cwd=bundle, capture_output=True, text=True, check=False)
    assert by_hand.returncode == 0, by_hand.stderr
    assert told["signed_by"].split()[1] in by_hand.stdout


def test_the_report_and_the_page_say_who_signed(signed: Path, key: Path) -> None:
    done = wheelferry("verify", signed, "--level", "static", "--key", public(key), "--json")
    facts = json.loads(done.stdout)["static"]["facts"]
    assert facts["signed_by"].startswith("alice@example.com (ssh-ed25519 SHA256:")
    assert "Signed by alice@example.com" in (signed / "report" / "report.html").read_text("utf-8")
    # the report lies in the bundle and is no part of what was signed
    assert wheelferry("verify", signed, "--level", "static", "--key", public(key)).returncode == 0


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_other_kinds_of_keys_sign_as_well(bundle: Path, tmp_path: Path, tools: Tools, kind: str) -> None:
    key = make_key(tmp_path / "key", kind=kind)
    sign(bundle, key, tools)
    assert found(bundle, tools, key) == set()


def test_signing_again_gives_the_same_bytes_and_another_key_replaces_it(
    signed: Path, key: Path, tmp_path: Path, tools: Tools
) -> None:
    before = (signed / SIGNATURE).read_bytes()
    sign(signed, key, tools)
    assert (signed / SIGNATURE).read_bytes() == before
    other = make_key(tmp_path / "other")
    sign(signed, other, tools)
    assert found(signed, tools, other) == set()
    assert found(signed, tools, key) == WRONG
    assert sorted(path.name for path in signed.glob(f"*{SIGNATURE}*")) == [SIGNATURE]


@pytest.mark.parametrize("damage", ["changed", "missing", "unlisted", "manifest"])
def test_only_what_is_as_it_was_packed_is_signed(signed: Path, key: Path, tools: Tools, damage: str) -> None:
    before = (signed / SIGNATURE).read_bytes()
    if damage == "changed":
        rewrite(signed / "requirements.txt", b"# nothing\n")
    elif damage == "missing":
        (signed / "README.txt").unlink()
    elif damage == "unlisted":
        (signed / "notes.txt").write_text("mine", "utf-8")
    else:
        rewrite(signed / NAME, (signed / NAME).read_bytes().replace(b'"tiny"', b'"tidy"'))
    with pytest.raises(IntegrityError):
        sign(signed, key, tools)
    assert (signed / SIGNATURE).read_bytes() == before


def test_a_key_that_is_not_there_or_is_none_is_bad_input(bundle: Path, tmp_path: Path) -> None:
    done = wheelferry("sign", bundle, "--key", tmp_path / "none")
    assert (done.returncode, "there is no key" in done.stderr) == (2, True)
    (tmp_path / "text").write_text("hello\n", "utf-8")
    done = wheelferry("sign", bundle, "--key", tmp_path / "text")
    assert (done.returncode, "sign with" in done.stderr) == (2, True)
    assert not (bundle / SIGNATURE).exists()
    assert wheelferry("sign", tmp_path, "--key", tmp_path / "text").returncode == 2


def test_a_passphrase_is_asked_for_at_a_terminal_only(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    key = make_key(tmp_path / "locked", passphrase=WORDS)
    with pytest.raises(InputError, match="passphrase") as caught:
        sign(bundle, key, tools)
    assert "terminal" in str(caught.value.hint)
    assert not (bundle / SIGNATURE).exists()
    ours, theirs = pty.openpty()
    os.write(ours, f"{WORDS}\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "wheelferry", "sign", str(bundle), "--key", str(key), "--json"],
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["signature"] == str(bundle / SIGNATURE)
    assert found(bundle, tools, key) == set()


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield
    process.terminate()
    process.wait()
    process.stdout.close()


@pytest.mark.usefixtures("agent")
def test_a_key_of_ssh_agent_is_named_by_its_public_half(bundle: Path, key: Path, tools: Tools) -> None:
    subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True)
    key.unlink()
    sign(bundle, public(key), tools)
    assert found(bundle, tools, key) == set()


# ---- verify ----


def unsigned(bundle: Path, key: Path) -> None:
    (bundle / SIGNATURE).unlink()


def by_another_key(bundle: Path, key: Path) -> None:
    sign_by_hand(bundle, make_key(key.with_name("mallory")))


def for_git(bundle: Path, key: Path) -> None:
    sign_by_hand(bundle, key, namespace="git")


def of_another_text(bundle: Path, key: Path) -> None:
    other = bundle.parent / "other"
    other.mkdir()
    (other / NAME).write_bytes(b"something else")
    sign_by_hand(other, key)
    rewrite(bundle / SIGNATURE, (other / SIGNATURE).read_bytes())


def resealed(bundle: Path, key: Path) -> None:
    rewrite(bundle / "README.txt", b"do as I say\n")
    reseal(bundle)


def cut_off(bundle: Path, key: Path) -> None:
    rewrite(bundle / SIGNATURE, (bundle / SIGNATURE).read_bytes()[:-40])


def empty(bundle: Path, key: Path) -> None:
    rewrite(bundle / SIGNATURE, b"")


def a_folder(bundle: Path, key: Path) -> None:
    (bundle / SIGNATURE).unlink()
    (bundle / SIGNATURE).mkdir()


def endless(bundle: Path, key: Path) -> None:
    with (bundle / SIGNATURE).open("ab") as stream:
        stream.truncate(1 << 32)


# what each leaves of a check without a key: the signature belongs to the manifest, whoever made it
SLIPS: dict[Callable[[Path, Path], None], bool] = {
    unsigned: True, by_another_key: True, for_git: False, of_another_text: False, resealed: False,
    cut_off: False, empty: False, a_folder: False, endless: False,
}  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.__name__)
def test_what_the_key_did_not_sign_is_refused(
    signed: Path, key: Path, tools: Tools, slip: Callable[[Path, Path], None]
) -> None:
    slip(signed, key)
    assert found(signed, tools, key) == WRONG
    assert found(signed, tools, None) == (set() if SLIPS[slip] else WRONG)


def test_a_reordered_manifest_is_refused(signed: Path, key: Path, tools: Tools) -> None:
    document = json.loads((signed / NAME).read_text("utf-8"))
    document["files"].reverse()
    rewrite(signed / NAME, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
    assert found(signed, tools, key) == WRONG | {("MANIFEST", NAME)}
    done = wheelferry("verify", signed, "--level", "static", "--key", public(key))
    assert done.returncode == 4
    assert "bundle.json.sig does not belong to this bundle.json" in done.stdout


def test_a_manifest_that_cannot_be_read_has_no_good_signature_either(
    signed: Path, key: Path, tools: Tools
) -> None:
    rewrite(signed / NAME, b"\xff{")
    assert found(signed, tools, key) == WRONG | {("MANIFEST", NAME)}


def test_a_wrong_signature_ends_with_4_and_another_problem_with_1(signed: Path, key: Path) -> None:
    verify = ("verify", signed, "--level", "install", "--key", public(key), "--json")
    rewrite(signed / "README.txt", b"other\n")
    assert wheelferry(*verify).returncode == 1
    reseal(signed)
    done = wheelferry(*verify)
    assert done.returncode == 4
    # nothing of a bundle with a wrong signature is run
    report = json.loads(done.stdout)
    assert [level["not_run"] for target in report["targets"] for level in target["levels"]] == [
        "the static level found problems"
    ]


def allowed_signers(folder: Path, key: Path, *, options: str = "", name: str = "alice@example.com") -> Path:
    kind, text, _ = public(key).read_text("utf-8").split()
    path = folder / "allowed_signers"
    path.write_text(f"{name} {options} {kind} {text}\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("options", "good"),
    [
        ("", True),
        ('namespaces="git,wheelferry"', True),
        ('namespaces="git"', False),
        ('valid-before="20200101"', False),
        ('valid-after="20200101",valid-before="21000101"', True),
    ],
)
def test_what_allowed_signers_says_of_a_key_holds(
    signed: Path, key: Path, tmp_path: Path, tools: Tools, options: str, good: bool
) -> None:
    signers = read_signers(str(allowed_signers(tmp_path, key, options=options)), str(signed))
    opened, problems = verify_static(signed, tools, signers=signers)
    assert [problem.code.name for problem in problems] == ([] if good else ["SIGNATURE"])
    assert opened is not None
    assert (opened.signed_by or "").startswith("alice@example.com") is good


def test_one_of_several_keys_is_enough(signed: Path, key: Path, tmp_path: Path) -> None:
    lines = [public(make_key(tmp_path / name)).read_text("utf-8") for name in ("bob", "carol")]
    several = tmp_path / "several.pub"
    # as an editor of Windows saves it
    text = "\r\n".join(["# who may sign", lines[0].strip(), public(key).read_text("utf-8").strip(), ""])
    several.write_bytes(text.encode("utf-8-sig"))
    assert wheelferry("verify", signed, "--level", "static", "--key", several).returncode == 0
    several.write_text("".join(lines), "utf-8")
    assert wheelferry("verify", signed, "--level", "static", "--key", several).returncode == 4


def test_a_certificate_for_wheelferry_is_taken(bundle: Path, key: Path, tmp_path: Path, tools: Tools) -> None:
    authority = make_key(tmp_path / "authority")
    for principal, good in (("wheelferry", True), ("somebody", False)):
        keygen("-q", "-s", authority, "-I", "alice", "-n", principal, public(key))
        sign(bundle, key.with_name("alice-cert.pub"), tools)
        signers = read_signers(
            str(allowed_signers(tmp_path, authority, options="cert-authority", name="*")), str(bundle)
        )
        assert (verify_static(bundle, tools, signers=signers)[1] == []) is good


def test_a_key_out_of_the_bundle_is_refused(signed: Path, key: Path, tmp_path: Path) -> None:
    inside = signed / "smoke" / "key.pub"
    inside.write_bytes(public(key).read_bytes())
    link = tmp_path / "link.pub"
    link.symlink_to(inside)
    for file in (inside, link):
        done = wheelferry("verify", signed, "--level", "static", "--key", file)
        assert (done.returncode, "lies in the bundle" in done.stderr) == (2, True)


def test_the_private_key_instead_of_the_public_one_is_told_as_such(signed: Path, key: Path) -> None:
    done = wheelferry("verify", signed, "--level", "static", "--key", key)
    assert (done.returncode, "is a private key" in done.stderr) == (2, True)


def test_random_changes_of_one_byte_are_all_found(signed: Path, key: Path, tools: Tools) -> None:
    """Wherever the byte is; a file counts as often as it is long, but the smallest as often as 500 bytes."""
    random = Random(7)
    signers = signers_of(key, signed)
    files = sorted(path for path in signed.rglob("*") if path.is_file() and path.stat().st_size)
    weights = [max(500, path.stat().st_size) for path in files]
    for path in random.choices(files, weights, k=trials(150, 1000)):
        good = path.read_bytes()
        changed = bytearray(good)
        position = random.randrange(len(good))
        changed[position] ^= random.randrange(1, 256)
        rewrite(path, bytes(changed))
        _, problems = verify_static(signed, tools, signers=signers)
        name = path.relative_to(signed).as_posix()
        assert name in {problem.file for problem in problems}, (name, position, changed[position])
        rewrite(path, good)
    assert found(signed, tools, key) == set()


def test_no_byte_of_a_signature_can_be_changed(signed: Path, key: Path, tools: Tools) -> None:
    """Blanks, line ends and the bits that base64 does not use are those that ssh-keygen would let pass."""
    random = Random(8)
    good = (signed / SIGNATURE).read_bytes()
    for position in random.sample(range(len(good)), trials(60, len(good))):
        changed = bytearray(good)
        changed[position] ^= 1 << random.randrange(8)
        rewrite(signed / SIGNATURE, bytes(changed))
        assert found(signed, tools, None) == WRONG, position
    for more in (good + b"\n", b" " + good, good.replace(b"\n", b"\r\n", 1)):
        rewrite(signed / SIGNATURE, more)
        assert found(signed, tools, None) == WRONG, more
    rewrite(signed / SIGNATURE, good.replace(b"\n", b"\r\n"))  # as a copy by a program of Windows
    assert found(signed, tools, key) == set()


# ---- ssh-keygen ----


def old_ssh_keygen(folder: Path) -> Path:
    """What OpenSSH 7 answers to -Y."""
    folder.mkdir()
    program = folder / "ssh-keygen"
    program.write_text("#!/bin/sh\necho 'unknown option -- Y' >&2\nexit 1\n", "utf-8")
    program.chmod(0o755)
    return folder


def test_without_ssh_keygen_a_key_cannot_be_required(
    signed: Path, key: Path, tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = wheelferry("verify", signed, "--level", "static", "--key", public(key))
    assert done.returncode == 3
    assert "there is no ssh-keygen here" in done.stderr
    assert "openssh-client" in done.stderr
    assert wheelferry("sign", signed, "--key", key).returncode == 3
    # nobody asked for the signature, but it is said that it was not looked at
    opened, problems = verify_static(signed, tools)
    assert problems == []
    assert opened is not None
    assert [note.file for note in opened.notes] == [SIGNATURE]
    assert opened.signed_by is None


def test_an_ssh_keygen_without_signatures_is_passed_over(
    signed: Path, key: Path, tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SSH_KEYGEN is not None
    old = old_ssh_keygen(tmp_path / "old")
    monkeypatch.setenv("PATH", os.pathsep.join([str(old), str(Path(SSH_KEYGEN).parent)]))
    assert found(signed, tools, key) == set()
    monkeypatch.setenv("PATH", str(old))
    with pytest.raises(NotPossibleHere, match="older than OpenSSH"):
        found(signed, tools, key)


def test_no_program_of_the_bundle_checks_the_bundle(
    signed: Path, key: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = signed / "ssh-keygen"
    program.write_text("#!/bin/sh\nexit 0\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.chdir(signed)
    for path in (str(signed), ".", ""):
        monkeypatch.setenv("PATH", path)
        with pytest.raises(NotPossibleHere):
            found(signed, tools, key)


# ---- what becomes of it ----


def test_a_merged_bundle_is_not_signed(signed: Path, key: Path, tmp_path: Path, tools: Tools) -> None:
    out = tmp_path / "merged"
    merge([signed], out, tools)
    assert not (out / SIGNATURE).exists()
    assert found(out, tools, None) == set()
    assert found(out, tools, key) == WRONG
    assert found(signed, tools, key) == set()


def test_a_bundle_that_is_packed_again_is_not_signed(
    signed: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    pack_bundle(signed, tmp_path / "made-again", tools, located)
    assert not (signed / SIGNATURE).exists()


# ---- install ----


@pytest.fixture
def stick(tmp_path: Path, key: Path, tools: Tools, located: LocatedRecipe) -> Path:
    """A signed bundle that can be installed here."""
    bundle = pack_client_bundle(tmp_path / "st ück", tools, located, files={"data.bin": b"cargo"})
    sign(bundle, key, tools)
    return bundle


def run(*command: str | Path, status: int) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}"
    return done.stdout


def starts(stick: Path) -> list[list[str | Path]]:
    """The ways to the installer: the bundle's two, and a trusted one."""
    return [
        ["sh", stick / "install.sh"],
        [sys.executable, "-I", stick / "install.pyz"],
        [sys.executable, "-m", "wheelferry", "install", stick],
    ]


def test_the_installer_takes_what_the_key_signed(stick: Path, key: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "Prüf stand"
    said = run("sh", stick / "install.sh", "--prefix", prefix, "--yes", "--key", public(key), status=0)
    assert "signed by alice@example.com (ssh-ed25519 SHA256:" in said
    receipt = json.loads((prefix / "current" / "receipt.json").read_text("utf-8"))
    assert receipt["bundle"]["signed_by"].startswith("alice@example.com (")
    # the installer that stayed there is one that the next bundle cannot have changed
    launcher = (prefix / "wheelferry", "--bundle", stick, "--yes", "--verify", "none")
    assert "signed by alice" in run(*launcher, "--key", public(key), status=0)
    resealed(stick, key)
    assert "does not belong to this bundle.json" in run(*launcher, "--key", public(key), status=4)


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.__name__)
def test_the_installer_refuses_the_rest_before_it_writes_anything(
    stick: Path, key: Path, tmp_path: Path, slip: Callable[[Path, Path], None]
) -> None:
    slip(stick, key)
    prefix = tmp_path / "prefix"
    for start in starts(stick):
        run(*start, "--prefix", prefix, "--yes", f"--key={public(key)}", status=4)
        assert not prefix.exists()


@pytest.mark.parametrize("options", ["", 'namespaces="git"', 'namespaces="wheelferry"'])
def test_both_starts_read_allowed_signers_alike(stick: Path, key: Path, tmp_path: Path, options: str) -> None:
    good = "git" not in options
    for name in ("alice@example.com", '"alice the first"', "*", "ssh-alice"):
        file = allowed_signers(tmp_path, key, options=options, name=name)
        file.write_bytes(b"\xef\xbb\xbf# who may sign\r\n\r\n  " + file.read_bytes())
        for start in starts(stick)[:2]:
            # what comes after the signature ends soon: there is no such environment
            said = run(*start, "--into", tmp_path / "none", "--yes", "--key", file, status=2 if good else 4)
            assert ("signed by " in said.replace("not signed by", "")) is good


def test_a_changed_installer_is_not_started(stick: Path, key: Path, tmp_path: Path) -> None:
    """Even where the manifest was written anew for it."""
    ran = tmp_path / "ran"
    rewrite(stick / "install.pyz", f"open({str(ran)!r}, 'w')\n".encode())
    reseal(stick)
    start = [*starts(stick)[0], "--prefix", tmp_path / "prefix", "--yes"]
    assert "is not signed by whom" in run(*start, "--key", public(key), status=4)
    assert not ran.exists()
    run(*start, status=0)
    assert ran.exists()


def test_a_changed_installer_does_not_enter_a_complete_installation(stick: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    command = (sys.executable, "-m", "wheelferry", "install", stick, prefix, "--yes", "--verify", "none")
    run(*command, status=0)
    before = (prefix / "install.pyz").read_bytes()
    rewrite(stick / "install.pyz", b"altered")
    assert "install.pyz is not what was packed" in run(*command, status=4)
    assert (prefix / "install.pyz").read_bytes() == before
    assert not list(prefix.glob("install.pyz.*"))


def test_a_key_that_is_none_is_bad_input_for_the_installer(stick: Path, key: Path, tmp_path: Path) -> None:
    inside = stick / "key.pub"
    inside.write_bytes(public(key).read_bytes())
    for start in starts(stick):
        for file, message in ((inside, "lies in the bundle"), (tmp_path / "none", "cannot read the key")):
            said = run(*start, "--prefix", tmp_path / "prefix", "--yes", "--key", file, status=2)
            assert message in said
        run(*start, "--prefix", tmp_path / "prefix", "--yes", "--key", "", status=2)
    manage = (sys.executable, "-m", "wheelferry", "install", "--prefix", tmp_path, "--rollback")
    assert "--key checks a bundle" in run(*manage, "--key", public(key), status=2)


def test_without_an_ssh_keygen_of_today_nothing_is_installed(
    stick: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    old = old_ssh_keygen(tmp_path / "old")
    tools.mkdir()
    for name in ("sh", "dirname", "sed", "mktemp", "rm", "dd", "cut", "sha256sum"):
        (tools / name).symlink_to(Path("/usr/bin") / name)
    for path, message in (([tools], "there is no ssh-keygen"), ([old, tools], "older than OpenSSH 8.1")):
        monkeypatch.setenv("PATH", os.pathsep.join(map(str, path)))
        for start in starts(stick):
            said = run(*start, "--prefix", tmp_path / "prefix", "--yes", "--key", public(key), status=3)
            assert message in said
