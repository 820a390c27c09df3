"""Who signed a bundle: the signature over its manifest, checked by OpenSSH's own ssh-keygen.

The format of signatures is described in OpenSSH's PROTOCOL.sshsig, that of allowed signers in ssh-keygen(1).
"""

import base64
import functools
import hashlib
import os
import re
import tempfile

from wheelferry.client.common.console import Log
from wheelferry.client.common.errors import BadInput, Damaged, NotPossibleHere
from wheelferry.client.common.processes import run, undisturbed
from wheelferry.client.common.texts import NotText, decode_text

NAME = "bundle.json.sig"  # as in wheelferry.models.manifest
# What a signature is for: one that was made for git or for a letter is none for a bundle.
NAMESPACE = "wheelferry"
# The name under which all keys of a file are given to ssh-keygen: each of them may sign.
SIGNER = "wheelferry"
# The same check without anything of ours, from the bundle's folder; allowed_signers is the person's own.
CHECK_COMMAND = "ssh-keygen -Y verify -f allowed_signers -I %s -n %s -s %s < bundle.json" % (
    SIGNER,
    NAMESPACE,
    NAME,
)
INSTALL_OPENSSH = (
    "install OpenSSH 8.1 or newer: openssh-client (Debian, Ubuntu), openssh (others); on Windows it is an "
    "optional feature of the system, OpenSSH Client"
)

_MOST = 1 << 20  # bytes of a signature or of a file of keys
_MAGIC = b"SSHSIG\0\0\0\1"  # with the version
_BEGIN = b"-----BEGIN SSH SIGNATURE-----\n"
_END = b"-----END SSH SIGNATURE-----\n"
_WIDTH = 70
_KEY = re.compile(r"(?P<kind>(?:ssh|ecdsa|sk)-\S+)\s+(?P<key>AAAA[A-Za-z0-9+/]+=*)(?:\s+(?P<comment>.*))?$")
_ALLOWED = re.compile(r'(?P<principals>"[^"]*"|\S+)\s+(?P<rest>(?:.*\s)?' + _KEY.pattern + ")")
_TOO_OLD = re.compile(r"(unknown|illegal|invalid) option -- '?Y")


class Signature(object):
    """A signature as OpenSSH writes it: its text, the public key that made it and what for."""

    def __init__(self, text, key, namespace):
        self.text = text
        self.key = key
        self.namespace = namespace

    @property
    def signer(self):
        """The key as ssh-keygen -l names it: its kind and its fingerprint."""
        return describe_key(self.key)


class Signers(object):
    """The keys that may sign: where they were read, as ssh-keygen takes them, and the name of each."""

    def __init__(self, path, text, names):
        self.path = path
        self.text = text
        self.names = names

    def name_of(self, key):
        """A key with the name it has here."""
        name = self.names.get(key)
        return "%s (%s)" % (name, describe_key(key)) if name else describe_key(key)


def describe_key(key):
    """``ssh-ed25519 SHA256:…``: the kind and the fingerprint of a public key, given as its bytes."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
    return "%s SHA256:%s" % (_kind_of(key), digest.rstrip("="))


def allowed_signer(key):
    """A public key as a line of a file of allowed signers, for this purpose alone."""
    text = base64.b64encode(key).decode("ascii")
    return '%s namespaces="%s" %s %s' % (SIGNER, NAMESPACE, _kind_of(key), text)


def read_signers(path, bundle):
    """The keys in the file `path`: public keys or allowed signers, as ssh-keygen(1) describes both.

    Raises BadInput for anything else, and for a file inside the folder `bundle`: whoever can change a bundle
    can put his own key there.
    """
    if is_inside(path, bundle):
        raise BadInput(
            "%s lies in the bundle, so it proves nothing" % path,
            hint="take the key from outside the bundle: from the signer, by another way",
        )
    try:
        data = _read(path)
    except OSError as error:
        raise BadInput(
            "cannot read the key %s: %s" % (path, error.strerror), hint="name a public key, as in key.pub"
        ) from None
    except ValueError as error:
        raise BadInput(
            "%s is not a key: %s" % (path, error), hint="name a public key, as in key.pub"
        ) from None
    try:
        text = decode_text(data)
    except NotText as error:
        raise BadInput(
            "%s:%d: %s" % (path, error.line, error), hint="name a public key, as in key.pub, saved as UTF-8"
        ) from None
    if "PRIVATE KEY-----" in text:
        raise BadInput(
            "%s is a private key; checking needs the public one" % path, hint="it is %s.pub" % path
        )
    lines, names = [], {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            lines.append("")  # so that ssh-keygen counts lines as the person does
            continue
        public = _KEY.match(stripped)
        match = public or _ALLOWED.match(stripped)
        if match is None:
            raise BadInput(
                "%s:%d is neither a public key nor an allowed signer" % (path, number),
                hint="a line is `ssh-ed25519 AAAA…`, as in key.pub, or `name ssh-ed25519 AAAA…`",
            )
        lines.append("%s %s" % (SIGNER, stripped if public else match.group("rest")))
        name = match.group("comment") if public else match.group("principals").strip('"')
        names[_bytes_of(match.group("key"), "%s:%d" % (path, number))] = name
    if not names:
        raise BadInput("%s holds no key" % path, hint="name a public key, as in key.pub")
    return Signers(path, "\n".join(lines) + "\n", names)


def is_inside(path, folder):
    """Whether the file `path` lies below `folder`, links followed."""
    inner, outer = (os.path.normcase(os.path.realpath(one)) for one in (path, folder))
    return inner == outer or inner.startswith(outer.rstrip(os.sep) + os.sep)


def read_signature(bundle):
    """The signature of the bundle in the folder `bundle`; None without one, Damaged for another text."""
    path = os.path.join(bundle, NAME)
    try:
        return parse_signature(_read(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Damaged("%s cannot be read: %s" % (path, error.strerror)) from None
    except ValueError as error:
        raise Damaged("%s is not a signature as ssh-keygen writes it: %s" % (path, error)) from None


def parse_signature(data):
    """The signature with the text `data`; ValueError unless that is, but for line ends, OpenSSH's own text.

    ssh-keygen itself overlooks a changed blank, or what stands after the last line.
    """
    text = data.replace(b"\r\n", b"\n")
    body = text[len(_BEGIN) : -len(_END)]
    blob = base64.b64decode(body.replace(b"\n", b""), validate=True)
    if _armour(blob) != text or data not in (text, text.replace(b"\n", b"\r\n")):
        raise ValueError("it was altered")
    if not blob.startswith(_MAGIC):
        raise ValueError("it is of another version")
    fields = list(_fields(blob[len(_MAGIC) :]))
    if len(fields) != 5 or fields[2]:
        raise ValueError("it has other fields")
    _kind_of(fields[0])
    return Signature(text, key=fields[0], namespace=fields[1].decode("utf-8", "replace"))


def check_signature(manifest, signature, bundle, signers=None, log=None):
    """Check that `signature`, that of the folder `bundle`, is one over the bytes `manifest`.

    With `signers` it must be by one of them; without, by any key. Raises Damaged when it is not, or when
    there is none (None); NotPossibleHere where ssh-keygen is missing or too old.
    """
    path = os.path.join(bundle, NAME)
    if signature is None:
        raise Damaged(
            "%s is not signed: it has no %s" % (bundle, NAME),
            hint="ask who made it for the signed bundle; to take it as it is, leave --key out",
        )
    if signature.namespace != NAMESPACE:
        raise Damaged(
            "%s is a signature for %r, not for %r" % (path, signature.namespace, NAMESPACE),
            hint="sign the bundle with: wheelferry sign",
        )
    log = log or Log()
    program = ssh_keygen(bundle)
    status, output = _verify(program, manifest, signature, signers, log)
    if status == 0:
        return
    if signers is not None and _verify(program, manifest, signature, None, log)[0] == 0:
        raise Damaged(
            "%s is by %s, whom %s does not allow: %s" % (path, signature.signer, signers.path, output),
            hint="is it the right key? if so, the bundle is not from whom it should be: do not install it",
        )
    raise Damaged(
        "%s does not belong to this bundle.json: one of them was altered (%s)" % (path, output),
        hint="copy the bundle again from where it was signed; if it was changed on purpose, sign it again",
    )


def _verify(program, manifest, signature, signers, log):
    """Let ssh-keygen check bytes that we hold, and not a file that may be another by then."""
    with tempfile.TemporaryDirectory(prefix="wheelferry-") as folder:
        files = {"manifest": manifest, "signature": signature.text}
        arguments = ["-Y", "check-novalidate"]
        if signers is not None:
            files["signers"] = signers.text.encode("utf-8")
            arguments = ["-Y", "verify", "-f", os.path.join(folder, "signers"), "-I", SIGNER]
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as stream:
                stream.write(data)
        command = [program, *arguments, "-n", NAMESPACE, "-s", os.path.join(folder, "signature")]
        with open(os.path.join(folder, "manifest"), "rb") as stream:
            status, output = run(command, undisturbed(), log, stdin=stream)
        if signers is not None:
            output = output.replace(os.path.join(folder, "signers"), signers.path)
        return status, " ".join(output.replace(os.path.join(folder, "signature"), NAME).split())


def ssh_keygen(bundle):
    """The first ssh-keygen here that knows signatures; raises NotPossibleHere without one.

    It is looked for in PATH, but not in folders that depend on the one we are in, nor inside `bundle`, which
    is not trusted yet; on Windows also where the system has it.
    """
    name = "ssh-keygen.exe" if os.name == "nt" else "ssh-keygen"
    folders = [entry.strip('"') for entry in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    if os.name == "nt":
        folders.append(os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "OpenSSH"))
    programs = [os.path.join(folder, name) for folder in folders if os.path.isabs(folder)]
    programs = [one for one in dict.fromkeys(programs) if os.path.isfile(one) and not is_inside(one, bundle)]
    for program in programs:
        if _knows_signatures(program):
            return program
    if programs:
        raise NotPossibleHere(
            "%s: does not start, or is older than OpenSSH 8.1 and knows no signatures" % ", ".join(programs),
            hint=INSTALL_OPENSSH,
        )
    raise NotPossibleHere("there is no ssh-keygen here, which makes and checks signatures", INSTALL_OPENSSH)


@functools.lru_cache(maxsize=None)
def _knows_signatures(program):
    """Whether ssh-keygen complains of a missing signature or, if it is too old, of an unknown option."""
    status, output = run([program, "-Y", "check-novalidate"], undisturbed(), Log())
    return status != 127 and not _TOO_OLD.search(output)


def _read(path):
    with open(path, "rb") as stream:
        data = stream.read(_MOST + 1)
    if len(data) > _MOST:
        raise ValueError("it is longer than any such file")
    return data


def _armour(blob):
    text = base64.b64encode(blob)
    lines = [text[start : start + _WIDTH] + b"\n" for start in range(0, len(text), _WIDTH)]
    return _BEGIN + b"".join(lines) + _END


def _bytes_of(text, place):
    try:
        key = base64.b64decode(text, validate=True)
        _kind_of(key)
    except ValueError:
        raise BadInput(
            "%s: the key is damaged" % place, hint="copy the public key again from its owner"
        ) from None
    return key


def _kind_of(key):
    """The kind of a public key, given as its bytes: its first field; the others depend on it."""
    kind = next(_fields(key), b"").decode("ascii", "replace")
    if not re.match(r"[A-Za-z0-9@.-]+$", kind):
        raise ValueError("it names no kind of key")
    return kind


def _fields(data):
    """The fields of a signature, and the first of a key: each a length in four bytes, and so many bytes."""
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        if len(data) < end:
            raise ValueError("it ends too early")
        yield data[4:end]
        data = data[end:]
