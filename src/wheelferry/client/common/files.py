"""Files of the client: written whole or not at all, renamed with patience, removed with all below them."""

import json
import os
import re
import shutil
import tempfile
import time

ASIDE = ".part"
# What folders and files are called with which a file system is tried; a kill may leave one.
TRIAL = ".wheelferry-probe-"
# Windows refuses to rename what a virus scanner is looking at. That takes moments.
_RENAME_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def read_json(path):
    """The JSON document in `path`; None when it is absent or cut off."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def write_json(path, document):
    """Write a JSON document as `write_atomic` does."""
    write_atomic(path, json.dumps(document, indent=1, sort_keys=True) + "\n")


def write_atomic(path, text, executable=False):
    """Write `path` aside, on the disk, and rename it into place."""
    aside = path + ASIDE
    with open(aside, "wb") as stream:
        # paths in it must be the bytes that the system knows them by
        stream.write(os.fsencode(text))
        stream.flush()
        os.fsync(stream.fileno())
    if executable:
        os.chmod(aside, 0o755)  # noqa: S103 -- for whoever may enter the folder
    replace(aside, path)


def replace(source, destination):
    """Rename as os.replace does; on Windows again and again while something else has one of the two open.

    Raises PermissionError when that does not end within three seconds.
    """
    for seconds in _RENAME_WAITS if os.name == "nt" else ():
        try:
            os.replace(source, destination)
        except PermissionError:
            time.sleep(seconds)
        else:
            return
    os.replace(source, destination)


def unlimited(path, windows=os.name == "nt"):
    """An absolute path in the form for which Windows has no limit of 260 characters; elsewhere as it is.

    uv writes such paths into its cache, whatever the system's setting for long paths is.
    """
    if not windows or path.startswith("\\\\?\\"):
        return path
    return "\\\\?\\UNC" + path[1:] if path.startswith("\\\\") else "\\\\?\\" + path


def is_writable(folder):
    """Whether files can be made in a folder. On Windows one is made: access() does not know."""
    if os.name == "posix":
        return os.access(folder, os.W_OK)
    try:
        handle, path = tempfile.mkstemp(prefix=TRIAL, dir=folder)
    except OSError:
        return False
    os.close(handle)
    os.unlink(path)
    return True


def remove_tree(folder):
    """Remove a folder and all below it, read-only files too; an absent one is all right."""
    folder = unlimited(os.path.abspath(folder))
    if os.path.islink(folder) or os.path.isfile(folder):
        os.unlink(folder)
    elif os.path.isdir(folder):
        try:
            shutil.rmtree(folder)
        except PermissionError:
            for root, _, names in os.walk(folder):
                for path in [root] + [os.path.join(root, name) for name in names]:
                    if not os.path.islink(path):
                        os.chmod(path, 0o700)
            shutil.rmtree(folder)


def list_files(folder):
    """Every file and link below `folder`, as relative paths with forward slashes, in order."""
    found = []
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        found += [os.path.relpath(os.path.join(root, name), folder) for name in names + links]
    return sorted(re.sub(r"\\", "/", name) if os.name == "nt" else name for name in found)
