"""Keys and signatures as texts: what is one, and what is said of the rest."""

import base64
from pathlib import Path
from random import Random

import pytest

from wheelferry.client.common import signature
from wheelferry.client.common.bundle import NAME as MANIFEST
from wheelferry.client.common.errors import BadInput, Damaged
from wheelferry.client.common.signature import (
    Signature,
    allowed_signer,
    is_inside,
    parse_signature,
    read_signature,
    read_signers,
)
from wheelferry.models.manifest import NAME, SIGNATURE


def field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


KEY = field(b"ssh-ed25519") + field(b"k" * 32)
PUBLIC = f"ssh-ed25519 {base64.b64encode(KEY).decode()}"
# as ssh-keygen -l tells it
FINGERPRINT = "ssh-ed25519 SHA256:sArVyTbDlP2ByuRNM59Xf/iwOUmdy69sxylyNl3iUQQ"
# of no manifest, but in the form that ssh-keygen writes
BLOB = (
    b"SSHSIG\0\0\0\1" + field(KEY) + field(b"wheelferry") + field(b"") + field(b"sha512") + field(b"s" * 83)
)


def armoured(blob: bytes) -> bytes:
    text = base64.b64encode(blob).decode()
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]).encode()


def test_the_names_are_those_of_the_bundle() -> None:
    assert (signature.NAME, MANIFEST) == (SIGNATURE, NAME)


def test_a_signature_says_what_it_is() -> None:
    found: Signature = parse_signature(armoured(BLOB))
    assert (found.key, found.namespace, found.signer) == (KEY, "wheelferry", FINGERPRINT)
    assert allowed_signer(found.key) == f'wheelferry namespaces="wheelferry" {PUBLIC}'
    assert parse_signature(armoured(BLOB).replace(b"\n", b"\r\n")).text == armoured(BLOB)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        BLOB[:-1],
        BLOB + field(b"more"),
        BLOB.replace(b"SSHSIG", b"SSHGIS"),
        BLOB.replace(b"\0\0\0\1", b"\0\0\0\0", 1),
        BLOB.replace(field(b"") + field(b"sha512"), field(b"x") + field(b"sha512")),
        BLOB.replace(b"ssh-ed25519", b"ssh-\x1b[31m..."),
        BLOB.replace(field(KEY), field(b"")),
    ],
)
def test_another_content_is_no_signature(blob: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        parse_signature(armoured(blob))


def test_damage_never_ends_in_anything_but_a_clear_error(tmp_path: Path) -> None:
    random, refused = Random(3), 0
    for _ in range(2000):
        changed = bytearray(BLOB)
        for _ in range(random.randrange(1, 6)):
            changed[random.randrange(len(changed))] = random.randrange(256)
        text = armoured(bytes(changed[: random.randrange(len(changed) + 1)]))
        (tmp_path / SIGNATURE).write_bytes(text)
        try:
            found = read_signature(str(tmp_path))
        except Damaged:
            refused += 1
        else:
            assert found.signer.isprintable()
            assert found.text == text
    assert 0 < refused < 2000


@pytest.mark.parametrize(
    ("text", "handed_on", "name"),
    [
        (f"{PUBLIC}\n", f"wheelferry {PUBLIC}\n", FINGERPRINT),
        (
            f"{PUBLIC} alice at home\r\n",
            f"wheelferry {PUBLIC} alice at home\n",
            f"alice at home ({FINGERPRINT})",
        ),
        (f"# ours\n\n a@b {PUBLIC}", f"\n\nwheelferry {PUBLIC}\n", f"a@b ({FINGERPRINT})"),
        (
            f'"a b,c@d" namespaces="wheelferry,git",valid-before="21000101" {PUBLIC} x',
            f'wheelferry namespaces="wheelferry,git",valid-before="21000101" {PUBLIC} x\n',
            f"a b,c@d ({FINGERPRINT})",
        ),
        (f"ssh-admin {PUBLIC}", f"wheelferry {PUBLIC}\n", f"ssh-admin ({FINGERPRINT})"),
    ],
)
def test_public_keys_and_allowed_signers_are_read(
    tmp_path: Path, text: str, handed_on: str, name: str
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(text.encode())
    signers = read_signers(str(path), str(tmp_path / "bundle"))
    assert signers.text == handed_on
    assert signers.name_of(KEY) == name


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no key"),
        (b"# nobody\n", "holds no key"),
        (b"hello\n", ":1 is neither a public key nor an allowed signer"),
        (f"{PUBLIC}\nssh-ed25519\n".encode(), ":2 is neither"),
        (f"{PUBLIC}A\n".encode(), ":1: the key is damaged"),
        (b"ssh-ed25519 AAAAC3Nz\n", ":1: the key is damaged"),
        (
            f"# keys\n{PUBLIC} H\u00e9l\u00e8ne\n".encode("latin-1"),
            ":2: the byte 0xe9 cannot be read as UTF-8",
        ),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "is a private key"),
        (b"#" * (1 << 20) + b"\n", "is not a key"),
    ],
)
def test_what_is_no_file_of_keys_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "keys"
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        read_signers(str(path), str(tmp_path / "bundle"))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_key_that_a_shell_of_windows_wrote_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "keys"
    path.write_bytes(f"{PUBLIC} Hélène\r\n".encode(encoding))
    assert read_signers(str(path), str(tmp_path / "bundle")).name_of(KEY).startswith("Hélène ")


def test_inside_is_what_links_lead_into(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    (bundle / "smoke").mkdir(parents=True)
    (bundle / "key.pub").write_text(PUBLIC, "utf-8")
    (tmp_path / "bundle.pub").write_text(PUBLIC, "utf-8")
    (tmp_path / "folder").symlink_to(bundle)
    assert is_inside(str(bundle / "key.pub"), str(bundle))
    assert is_inside(str(tmp_path / "folder" / "key.pub"), str(bundle))
    assert is_inside(str(bundle / "smoke" / ".." / "key.pub"), str(tmp_path / "folder"))
    assert not is_inside(str(tmp_path / "bundle.pub"), str(bundle))
