"""Which names a file that travels may have: those that every system can hold, inside the folder."""

import re
import unicodedata

# In every folder and with every ending; learn.microsoft.com, "Naming Files, Paths, and Namespaces".
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
_SIGNS = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_LONGEST = 255  # bytes of one step of a path, on common file systems


def is_device(name):
    """Whether Windows takes a file or folder called `name` for a device: CON, nul.txt, COM1 and the like."""
    return _DEVICES.match(name) is not None


def find_faults(names):
    """What is wrong with relative paths with forward slashes: texts, none when all can be written anywhere.

    Faults are what leads out of the folder, what Windows cannot have or takes for a device, one name twice,
    two that differ only in case, and a file that would be a folder as well.
    """
    faults = []
    spelled = {}  # type: dict[str, tuple[str, bool]]
    seen = set()
    for name in names:
        reason = _fault(name)
        if reason is None:
            reason = "is there twice" if name in seen else _collision(name, spelled)
        seen.add(name)
        if reason:
            faults.append("%s %s" % (ascii(name), reason))
    return faults


def _fault(name):
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "is not Unicode text"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return "leads out of the folder"
        if _SIGNS.search(part):
            return "has signs that no name may have on Windows"
        if is_device(part):
            return "is the name of a device on Windows"
        if part[-1] in ". ":
            return "ends in a dot or a blank, which Windows drops"
        if len(part.encode("utf-8")) > _LONGEST:
            return "is too long"
    return None


def _collision(name, spelled):
    """Why `name` cannot be beside those in `spelled`, to which it is added; None when it can."""
    parts = name.split("/")
    for end in range(1, len(parts) + 1):
        path, is_file = "/".join(parts[:end]), end == len(parts)
        other, is_other_file = spelled.setdefault(_folded(path), (path, is_file))
        if other != path:
            return (
                "differs from %s only in capitals or accents, which not every file system tells apart"
                % ascii(other)
            )
        if is_file != is_other_file:
            return "is a file, or below one, that is a folder as well"
    return None


def _folded(path):
    """What a file system that ignores case, or composes letters, makes of a path."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
