"""The folders that an installation may go to: their disks, and what works there."""

import contextlib
import ctypes
import os
import re
import shutil
import stat
import sys
import tempfile
import time

from wheelferry.client.common.files import TRIAL
from wheelferry.client.probe import macos
from wheelferry.client.probe.programs import MACOS, PATIENCE, WINDOWS, read_text

# FAT keeps the length of a file in 32 bits.
FAT = ("vfat", "msdos", "fat", "fat32", "fat16")
FAT_LIMIT = 2**32 - 1


def look_at_folder(folder, run):
    """What can be said of `folder`, which need not exist: of the disk it would be on, and whether we may."""
    path = os.path.abspath(folder)
    existing = path
    while not os.path.lexists(existing) and os.path.dirname(existing) != existing:
        existing = os.path.dirname(existing)
    disk = _windows_disk(existing) if WINDOWS else _posix_disk(existing, run)
    return {
        "path": path,
        "exists": existing == path,
        "existing": existing,
        **disk,
        **_try_folder(existing, run),
        "largest_file": FAT_LIMIT if str(disk.get("file_system")).lower() in FAT else None,
    }


def _posix_disk(existing, run):
    if sys.platform == "win32":
        return {}
    mounts = macos.mounts(run) if MACOS else read_text("/proc/self/mounts")
    kind, options = mounted_at(os.path.realpath(existing), mounts)
    known = {"file_system": kind, "noexec": "noexec" in options}
    try:
        disk = os.statvfs(existing)
        device = os.stat(existing).st_dev
    except OSError:
        # a link that leads nowhere, a network drive that is gone
        unknown = dict.fromkeys(("device", "free_bytes", "free_inodes", "longest_name"))
        return {**known, **unknown, "read_only": False}
    return {
        **known,
        "device": str(device),
        "free_bytes": disk.f_bavail * disk.f_frsize,
        # file systems that make inodes when they need them say 0 of 0
        "free_inodes": disk.f_favail if disk.f_files else None,
        "read_only": bool(disk.f_flag & os.ST_RDONLY),
        "longest_name": disk.f_namemax,
    }


def _windows_disk(existing):
    if sys.platform != "win32":
        return {}
    kernel32 = ctypes.windll.kernel32
    volume = ctypes.create_unicode_buffer(1024)
    kind = ctypes.create_unicode_buffer(256)
    longest, flags = ctypes.c_uint32(), ctypes.c_uint32()
    ours = ctypes.c_uint64()
    kernel32.GetVolumePathNameW(existing, volume, len(volume))
    known = kernel32.GetVolumeInformationW(
        volume.value, None, 0, None, ctypes.byref(longest), ctypes.byref(flags), kind, len(kind)
    )
    # not shutil.disk_usage, which says what is free on the disk and not what is left of our quota
    free = kernel32.GetDiskFreeSpaceExW(existing, ctypes.byref(ours), None, None)
    if kernel32.GetDriveTypeW(volume.value) == 4:  # DRIVE_REMOTE: a share says NTFS, too
        kind.value = "cifs"
    return {
        "device": volume.value.lower(),
        "free_bytes": ours.value if free else None,
        "free_inodes": None,
        "file_system": kind.value if known else "",
        "noexec": False,
        "read_only": bool(flags.value & 0x80000),
        "longest_name": longest.value if known else 255,
    }


def mounted_at(path, mounts):
    """(file system, options) of the mount that `path` lies in, from the text of /proc/mounts."""
    best = ""
    found: tuple[str, list[str]] = ("", [])
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        # blanks, tabs, line ends and backslashes are written as octal numbers
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), words[1])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # of two mounts in one place the later one covers the other
        if inside and len(point) >= len(best):
            best, found = point, (words[2], words[3].split(","))
    return found


def _try_folder(existing, run):
    """What works in an existing folder: tried in a folder of our own inside it, which is removed again."""
    found: dict[str, object] = {
        "writable": False,
        "reason": "",
        "symlinks": None,
        "hard_links": None,
        "executable": None,
    }
    if not os.path.isdir(existing):
        return dict(found, reason="it is not a folder")
    with contextlib.suppress(OSError):
        _sweep(existing)
    try:
        work = tempfile.mkdtemp(prefix="%s%d-" % (TRIAL, os.getpid()), dir=existing)
    except OSError as error:
        return dict(found, reason=error.strerror or str(error))
    try:
        program = os.path.join(work, "program")
        with open(program, "wb") as stream:
            stream.write(b"#!/bin/sh\nexit 0\n")
    except OSError as error:
        return dict(found, reason=error.strerror or str(error))
    else:
        return dict(
            found,
            writable=True,
            symlinks=_works(os.symlink, "program", os.path.join(work, "symlink")),
            hard_links=_works(os.link, program, os.path.join(work, "link")),
            executable=None if WINDOWS else _can_execute(program, run),
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(folder):
    """Remove what a probe that was killed left in `folder`."""
    for name in os.listdir(folder):
        match = re.match(re.escape(TRIAL) + r"(\d+)-", name)
        if match and not _may_be_at_work(os.path.join(folder, name), int(match.group(1))):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def _may_be_at_work(path, number):
    """Whether the process that made `path` may still use it."""
    if WINDOWS:
        # where os.kill ends processes whatever the signal
        return time.time() - os.lstat(path).st_mtime < 3600
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _works(function, *arguments):
    try:
        function(*arguments)
    except (OSError, NotImplementedError):
        return False
    return True


def _can_execute(program, run):
    """Whether a file can be made a program and started: also noexec and security modules say no here."""
    try:
        os.chmod(program, 0o700)
        kept = os.stat(program).st_mode & stat.S_IXUSR
    except OSError:
        return False
    return bool(kept) and run([program], PATIENCE)[0] == 0


def usual_folders():
    """Where an installation goes when nothing else is said: somewhere at home, with temporary files."""
    return [os.path.expanduser("~"), tempfile.gettempdir()]
