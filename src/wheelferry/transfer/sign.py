"""Sign: a signature over the bundle's manifest, which holds the hash of every file, made by ssh-keygen."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from wheelferry.bundle.reader import hash_files, parse_bytes, read_manifest
from wheelferry.cache.tools import Tools
from wheelferry.client.common.signature import (
    NAMESPACE,
    Signature,
    allowed_signer,
    check_signature,
    parse_signature,
    ssh_keygen,
)
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.manifest import NAME, SIGNATURE, is_untouched
from wheelferry.system.files import write_atomic
from wheelferry.system.process import run_at_terminal
from wheelferry.verification.static import checks

_HINT = "a key with a passphrase needs a terminal; or ssh-add it, and give --key its public half (.pub)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """A signed bundle: its folder and digest, the key by kind and fingerprint, and as an allowed signer."""

    root: Path
    digest: str
    signer: str
    allowed_signer: str


def sign(root: Path, key: Path, tools: Tools) -> Signed:
    """Sign the bundle in `root` with the private key (or with the agent's key of a public one) in `key`.

    Every file is hashed first: what is signed is what is there. A signature that was there is replaced.
    Raises IntegrityError for a bundle that is not as it was packed, InputError for a key that cannot sign,
    NotPossibleHere without an ssh-keygen that can.
    """
    if not key.is_file():
        raise InputError(
            f"there is no key {key}", hint="make one with: ssh-keygen -t ed25519 -f wheelferry-key"
        )
    tools.progress.stage(f"sign {root}")
    data = read_manifest(root)
    manifest, text = parse_bytes(data, root)
    if not is_untouched(text, manifest):
        raise IntegrityError(f"{root / NAME}: its digest does not fit: it was altered after packing")
    problems = [str(problem) for problem in checks.compare_files(manifest.files, hash_files(root, tools))]
    if problems:
        raise IntegrityError("\n".join(problems), hint=f"wheelferry verify {root} --level static says more")
    made = _make(data, root, key, tools)
    check_signature(data, made, str(root))
    write_atomic(root / SIGNATURE, made.text)
    return Signed(
        root=root, digest=manifest.digest, signer=made.signer, allowed_signer=allowed_signer(made.key)
    )


def _make(data: bytes, root: Path, key: Path, tools: Tools) -> Signature:
    """Let ssh-keygen sign a copy of the manifest, beside which it writes; its stdin is for its questions."""
    program = ssh_keygen(str(root))
    with tempfile.TemporaryDirectory(prefix="wheelferry-") as folder:
        copy = Path(folder) / NAME
        copy.write_bytes(data)
        command = [program, "-q", "-Y", "sign", "-n", NAMESPACE, "-f", key, copy]
        if sys.stdin is not None and sys.stdin.isatty():
            run_at_terminal(command, step=f"sign with {key}", error=InputError, hint=_HINT)
        else:
            tools.run(command, step=f"sign with {key}", error=InputError, hint=_HINT)
        try:
            made: Signature = parse_signature((Path(folder) / SIGNATURE).read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"sign with {key}: ssh-keygen wrote no signature: {error}", hint=_HINT) from None
        return made
