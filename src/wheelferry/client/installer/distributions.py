"""What is installed in an environment, by its .dist-info folders; and taking it over into a new one."""

import base64
import contextlib
import csv
import errno
import hashlib
import io
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

from wheelferry.client.common.bundle import CHUNK

_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES, getattr(errno, "ENOTSUP", errno.EPERM))


class Distribution(object):
    """An installed package: normalised name, version, and its .dist-info folder."""

    def __init__(self, folder):
        self.folder = folder
        name, _, version = os.path.basename(folder)[: -len(".dist-info")].partition("-")
        self.name = distribution_name(name)
        self.version = version

    @property
    def record(self):
        """The list of its files."""
        return os.path.join(self.folder, "RECORD")

    def rows(self):
        """The rows of its RECORD: path relative to site-packages, hash, size."""
        return rows_of(self.record)


def distribution_name(text):
    """The name of a package as all its spellings have it in common."""
    return re.sub(r"[-_.]+", "-", text).lower()


def rows_of(record):
    """The rows of a RECORD: path relative to site-packages, hash, size."""
    with open(record, encoding="utf-8", newline="") as stream:
        return [row for row in csv.reader(stream) if row]


def site_packages(env, python_version):
    """Where an environment made by venv keeps its packages; `python_version` is like 3.12."""
    if os.name == "posix":
        return os.path.join(env, "lib", "python" + python_version, "site-packages")
    return os.path.join(env, "Lib", "site-packages")


def distributions(folder):
    """All packages in a site-packages folder, by normalised name."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return {}
    found = [Distribution(os.path.join(folder, name)) for name in names if name.endswith(".dist-info")]
    return {distribution.name: distribution for distribution in found}


def sha256_of(path):
    """The SHA-256 of a file, as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for piece in iter(lambda: stream.read(CHUNK), b""):
            digest.update(piece)
    return digest.hexdigest()


def take_over(pins, receipt, old_env, new_env, python_version):
    """Link the packages of an earlier environment that the new lock has too; returns the names taken over.

    A package counts when its wheel has the hash that the earlier receipt notes and every one of its files
    is still what its RECORD says; anything else is left to the installer.
    """
    known = {item["name"]: item for item in receipt["packages"]}
    if receipt["python"]["version"].rsplit(".", 1)[0] != python_version:
        return set()
    old_site, new_site = (site_packages(env, python_version) for env in (old_env, new_env))
    installed = distributions(old_site)
    candidates = [
        installed[pin.name]
        for pin in pins
        if pin.name in installed
        and known.get(pin.name, {}).get("sha256") == pin.sha256
        and sha256_of(installed[pin.name].record) == known[pin.name]["record_sha256"]
    ]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        whole = list(pool.map(lambda one: _is_whole(one, old_site, old_env), candidates))
    taken = [distribution for distribution, good in zip(candidates, whole) if good]
    for distribution in taken:
        _link(distribution, old_site, new_site, old_env, new_env)
    return {distribution.name for distribution in taken}


def _is_whole(distribution, site, env):
    """Whether each file of the RECORD lies in the environment and has the hash that stands there."""
    for name, stated, _ in distribution.rows():
        path = os.path.normpath(os.path.join(site, name))
        if not path.startswith(env + os.sep):
            return False
        if path == distribution.record or path.endswith(".pyc"):
            continue
        if not stated.startswith("sha256=") or _record_hash(path) != stated:
            return False
        if not path.startswith(site + os.sep) and not _is_movable(path, env):
            return False
    return True


def _is_movable(path, env):
    """Whether a file is a script, or a program that does not hold the environment's path."""
    with open(path, "rb") as stream:
        content = stream.read()
    return content.startswith(b"#!") or os.fsencode(env + os.sep) not in content


def _record_hash(path):
    """The hash of a file as RECORD spells it; empty when it cannot be read."""
    try:
        digest = bytes.fromhex(sha256_of(path))
    except OSError:
        return ""
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _link(distribution, old_site, new_site, old_env, new_env):
    """Give a package's files a second name in the new environment; scripts get the new interpreter's path."""
    rows = []
    for name, stated, size in distribution.rows():
        old = os.path.normpath(os.path.join(old_site, name))
        new = os.path.normpath(os.path.join(new_site, name))
        if old.endswith(".pyc"):
            continue
        if old != distribution.record:
            os.makedirs(os.path.dirname(new), exist_ok=True)
            script = None if old.startswith(old_site + os.sep) else _moved(old, old_env, new_env)
            if script is None:
                link_or_copy(old, new)
            else:
                with open(new, "wb") as stream:
                    stream.write(script)
                shutil.copymode(old, new)
                stated, size = _record_hash(new), str(len(script))
        rows.append((name, stated, size))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    record = os.path.normpath(os.path.join(new_site, os.path.relpath(distribution.record, old_site)))
    with open(record, "w", encoding="utf-8", newline="") as stream:
        stream.write(text.getvalue())


def _moved(path, old_env, new_env):
    """The content of a script with the new environment's path in it; None when it does not name the old."""
    with open(path, "rb") as stream:
        content = stream.read()
    old, new = os.fsencode(old_env + os.sep), os.fsencode(new_env + os.sep)
    return content.replace(old, new) if old in content else None


def link_or_copy(source, destination):
    """Give a file a second name; where the file system cannot, copy it. What has that name makes way:
    some packages share files, such as the __init__.py of a namespace.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(destination)
    try:
        os.link(source, destination)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copy2(source, destination)
