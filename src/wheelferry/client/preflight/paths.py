"""Whether the paths of an installation fit what the system allows."""

import ntpath
import re

from wheelferry.client.common.paths import is_device
from wheelferry.client.preflight.findings import NOTE, OK, PROBLEM, WARNING, Finding
from wheelferry.client.preflight.folders import folder_of

# Where an environment lies below its prefix; 9999 stands for its number.
ENVIRONMENT = "envs/9999"
WINDOWS_LIMIT = 260  # MAX_PATH, the closing NUL included
# What holds the environments in %LOCALAPPDATA%: short, because torch's licence files leave little room.
WINDOWS_FOLDER = "wf"
# Of a user with the longest name that Windows' accounts can have.
_LOCAL_APP_DATA = ntpath.join("C:\\Users", "x" * 20, "AppData", "Local")
# PATH_MAX of each system, the closing NUL included.
PATH_LIMITS = {"Linux": 4096, "Darwin": 1024}
SHEBANG_LIMIT = 127  # of Linux before 5.1, which pip and uv heed everywhere
USUAL_NAME = 255
_SHORT_NAME = 200  # some wheels have file names of 150 characters and more
# A drive or a share, then names.
_WINDOWS_NAME = re.compile(
    r"""(?:[a-z]:|\\\\[^\\/<>:"|?*.][^\\/<>:"|?*]*\\[^\\/<>:"|?*]+)(?:\\[^\\/<>:"|?*\x00-\x1f]*)*$""",
    re.IGNORECASE,
)


def usual_windows_prefix(recipe):
    """The prefix that an installation gets on Windows when nobody names one, at its longest."""
    return ntpath.join(_LOCAL_APP_DATA, WINDOWS_FOLDER, recipe)


def windows_room(taken):
    """How many characters Windows leaves a path beside `taken` others and the environment's own folder."""
    return WINDOWS_LIMIT - 1 - taken - len("\\" + ENVIRONMENT + "\\")


def examine_paths(profile, request):
    """Whether all paths below the prefix stay within what the system and its scripts can hold."""
    longest = request.needs.longest_path if request.needs else 0
    if profile["system"] == "Windows":
        yield from _windows_paths(profile, request.prefix, longest)
    else:
        yield from _posix_paths(profile, request.prefix, longest)


def _windows_paths(profile, prefix, longest):
    given = len(prefix.rstrip("\\"))
    over = longest - windows_room(given)
    length = WINDOWS_LIMIT - 1 + over
    if not _WINDOWS_NAME.match(prefix) or any(map(is_device, ntpath.splitdrive(prefix)[1].split("\\"))):
        text = "%s is not a name for a folder on Windows" % prefix
        yield Finding(
            "path-length", PROBLEM, text, 'choose another --prefix, without any of <>:"|?* and device names'
        )
    elif over <= 0:
        yield Finding("path-length", OK, "the longest path will have %d characters" % length)
    elif profile["long_paths"]:
        yield Finding("path-length", OK, "long paths are switched on (%d characters needed)" % length)
    else:
        room = windows_room(longest)
        shorter = "choose a prefix of at most %d characters, as in %s" % (room, ntpath.join("C:\\", "wf"))
        allow = "let an administrator set LongPathsEnabled"
        yield Finding(
            "path-length",
            PROBLEM,
            "the longest path would have %d characters, Windows allows %d here" % (length, WINDOWS_LIMIT - 1),
            "%s, or %s" % (shorter, allow) if room > 3 else allow,
        )


def _posix_paths(profile, prefix, longest):
    limit = PATH_LIMITS.get(profile["system"], min(PATH_LIMITS.values()))
    folder = folder_of(profile, prefix)
    most = (folder and folder["longest_name"]) or USUAL_NAME
    too_long = [part for part in prefix.split("/") if _bytes(part) > most]
    length = _bytes(prefix) + len("/" + ENVIRONMENT + "/") + longest
    if ":" in prefix or "\n" in prefix:
        text = "%r has a colon or a line break, which PATH and an environment's scripts cannot have"
        yield Finding("path-length", PROBLEM, text % prefix, "choose another --prefix")
    elif too_long:
        text = "%s... has %d bytes, a name may have %d" % (too_long[0][:30], _bytes(too_long[0]), most)
        yield Finding("path-length", PROBLEM, text, "choose a shorter --prefix")
    elif length >= limit:
        text = "the longest path would have %d bytes, the system allows %d" % (length, limit - 1)
        yield Finding("path-length", PROBLEM, text, "choose a shorter --prefix")
    elif most < _SHORT_NAME:
        text = "the file system of %s allows names of at most %d bytes (is it an encrypted home?); "
        text += "some files have longer ones"
        remedy = "if the installation fails, choose a folder on another disk with --prefix"
        yield Finding("path-length", WARNING, text % (prefix, most), remedy)
    else:
        yield Finding("path-length", OK, "the longest path will have %d bytes" % length)
    interpreter = _bytes(prefix) + len("/" + ENVIRONMENT + "/bin/python")
    if interpreter + len("#!") > SHEBANG_LIMIT or re.search(r"\s", prefix):
        text = (
            "scripts of the environment start through /bin/sh, because of its long path or the blanks in it"
        )
        yield Finding("shebang", NOTE, text)


def _bytes(text):
    return len(text.encode("utf-8", "surrogateescape"))
