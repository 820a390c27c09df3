"""Documents that travel beside files: canonical JSON with a digest over itself, so one changed byte shows."""

import hashlib
import json
import os

from wheelferry.client.common.errors import BadInput, Damaged

LARGEST = 256 << 20  # bytes; a bundle of a hundred thousand files has a tenth of that


def seal(body):
    """The canonical text of a document: sorted keys, fixed indentation, and a digest over all else."""
    return _canonical(dict(body, digest=_digest(body)))


def read_sealed(path, form, kind, hint):
    """The document in `path`, of the format number `form` (or of one of these), which `seal` wrote.

    Raises FileNotFoundError or NotADirectoryError when there is none, BadInput for another format, and
    Damaged for any text that differs by one byte from what was written. `kind` says what it should be.
    """
    return parse_sealed(read_limited(path, kind, hint), path, form, kind, hint)


def read_limited(path, kind, hint):
    """The bytes of the file `path`, unread; Damaged for more than any such document has."""
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size > LARGEST:
            raise Damaged("%s is too large to be read as a %s" % (path, kind), hint=hint)
        return stream.read()


def parse_sealed(raw, path, form, kind, hint):
    """As `read_sealed`, for the bytes that were read from `path`."""
    try:
        document = json.loads(raw.decode("utf-8"))
        made_for = document["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Damaged("%s cannot be read as a %s" % (path, kind), hint=hint) from None
    readable = form if isinstance(form, tuple) else (form,)
    if made_for not in readable:
        raise BadInput(
            "%s has format %s, this program reads %s"
            % (path, made_for, " and ".join(str(number) for number in readable)),
            hint="use the program that lies beside it",
        )
    body = {name: value for name, value in document.items() if name != "digest"}
    if raw != seal(body).encode("ascii"):
        raise Damaged("%s: its digest does not fit its content: it was altered or damaged" % path, hint=hint)
    return document


def _digest(body):
    return hashlib.sha256(_canonical(body).encode("ascii")).hexdigest()


def _canonical(document):
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
