"""Variables and files that turn a Python or an installer away from what it was told."""

import os
import re

from wheelferry.client.common.processes import HOSTILE_PREFIXES
from wheelferry.client.probe.programs import WINDOWS

# install.sh sets it: the variables it had to unset before Python could start, one NAME=value a line.
NEUTRALISED = "WHEELFERRY_NEUTRALISED"
_SECRET_NAMES = ("TOKEN", "PASSWORD", "PASSWD", "SECRET", "CREDENTIAL", "API_KEY", "AUTH")


def hostile_variables(environ):
    """The variables that may disturb an installation, those included that install.sh had to unset."""
    before = {}
    for line in environ.get(NEUTRALISED, "").splitlines():
        name, separator, value = line.partition("=")
        if separator:
            before[name] = value
    now = {name: value for name, value in environ.items() if name.upper().startswith(HOSTILE_PREFIXES)}
    return [
        {"name": name, "value": redacted(name, value), "unset_before": name in before}
        for name, value in sorted({**now, **before}.items())
        if value
    ]


def redacted(name, value):
    """`value` without what may be a secret: all of it where the name says so, else the user part of URLs."""
    if any(word in name.upper() for word in _SECRET_NAMES):
        return "***"
    return re.sub(r"\S+", lambda match: _redacted_word(match.group()), value)


def _redacted_word(word):
    """One word without user and password, tokens in the path (``/t/TOKEN/``) and secret parameters."""
    if "@" in word:
        before, rest = word.rsplit("@", 1)
        scheme = before[: before.index("://") + 3] if "://" in before else ""
        word = "%s***@%s" % (scheme, rest)
    word = re.sub(r"/t/[^/\s]+", "/t/***", word)
    return re.sub(r"(?i)([?&][^=&]*(?:token|key|secret|passw|auth|sig)[^=&]*=)[^&\s]*", r"\1***", word)


def configuration_files(environ):
    """The files of pip, uv and distutils that exist and would be read; only where they are."""
    if WINDOWS:
        home = environ.get("USERPROFILE") or os.path.expanduser("~")
        roaming = environ.get("APPDATA") or os.path.join(home, "AppData", "Roaming")
        common = environ.get("ProgramData", r"C:\ProgramData")
        places = [
            os.path.join(common, "pip", "pip.ini"),
            os.path.join(home, "pip", "pip.ini"),
            os.path.join(roaming, "pip", "pip.ini"),
            os.path.join(common, "uv", "uv.toml"),
            os.path.join(roaming, "uv", "uv.toml"),
            os.path.join(home, "pydistutils.cfg"),
        ]
    else:
        home = environ.get("HOME") or os.path.expanduser("~")
        config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        system = [folder for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if folder]
        places = [os.path.join(folder, "pip", "pip.conf") for folder in system]
        places += [
            "/etc/pip.conf",
            os.path.join(home, ".pip", "pip.conf"),
            os.path.join(config, "pip", "pip.conf"),
            "/etc/uv/uv.toml",
            os.path.join(config, "uv", "uv.toml"),
            os.path.join(home, ".pydistutils.cfg"),
        ]
    places += [environ[name] for name in ("PIP_CONFIG_FILE", "UV_CONFIG_FILE") if environ.get(name)]
    return [place for place in dict.fromkeys(places) if place != os.devnull and os.path.isfile(place)]
