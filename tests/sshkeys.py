"""Keys and signatures as OpenSSH itself makes them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SSH_KEYGEN = shutil.which("ssh-keygen")


def require_ssh_keygen() -> None:
    """Skip without an ssh-keygen; fail where one should have been installed."""
    if SSH_KEYGEN is None:
        if os.environ.get("WHEELFERRY_TESTS_NEED_SSH"):
            pytest.fail("there is no ssh-keygen here")
        pytest.skip("there is no ssh-keygen here: install openssh-client")


def make_key(path: Path, *, passphrase: str = "", kind: str = "ed25519", comment: str = "") -> Path:
    """Make a key pair: `path` and `path`.pub."""
    path.parent.mkdir(parents=True, exist_ok=True)
    keygen("-q", "-t", kind, "-N", passphrase, "-C", comment or path.name, "-f", path)
    return path


def public(key: Path) -> Path:
    """The public half of a key."""
    return key.with_name(f"{key.name}.pub")


def sign_by_hand(bundle: Path, key: Path, *, namespace: str = "wheelferry") -> None:
    """Sign the manifest as somebody without wheelferry would."""
    (bundle / "bundle.json.sig").unlink(missing_ok=True)
    keygen("-q", "-Y", "sign", "-n", namespace, "-f", key, bundle / "bundle.json")


def keygen(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["ssh-keygen", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
