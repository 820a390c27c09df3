"""Hands what was written to the disk, so that a power cut finds it whole."""

import contextlib
import ctypes
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from wheelferry.client.common.files import list_files, unlimited


def sync(folder):
    """Let the system write to the disk what of the files below `folder` is in memory.

    Linux is told to write all of that file system; other disks, such as a network drive that does not
    answer, are left alone where the system can do that. Windows lets only administrators do that, so there
    each file is flushed.
    """
    if os.name != "posix":
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(_flush, [os.path.join(folder, name) for name in list_files(folder)]))
        return
    libc = ctypes.CDLL(None)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not hasattr(libc, "syncfs") or libc.syncfs(descriptor) != 0:
            os.sync()
    finally:
        os.close(descriptor)


def sync_until(stop, folder):
    """Write to the disk again and again until the event `stop`: then little is left to wait for.

    Not on Windows, where files that are being written would be opened one by one.
    """
    while not stop.wait(1.0):
        if os.name == "posix":
            sync(folder)


def _flush(path):
    """Write a file's bytes to the disk; one that may not be written to was not written by us."""
    with contextlib.suppress(OSError):
        descriptor = os.open(unlimited(path), os.O_RDWR)
        try:
            _write_back(descriptor)
        finally:
            os.close(descriptor)


def _write_back(descriptor):
    """Hand a file's bytes to the disk, which may still hold them in its own memory.

    That is emptied once, by the fsync of the receipt: for each file it would take minutes on a hard disk.
    """
    if sys.platform != "win32":
        os.fsync(descriptor)
        return
    import msvcrt

    # since Windows 8; Wine 8 has it not
    flush = getattr(ctypes.windll.ntdll, "NtFlushBuffersFileEx", None)
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
    no_sync = ctypes.c_ulong(2)  # FLUSH_FLAGS_NO_SYNC of ntifs.h
    state = (ctypes.c_void_p * 2)()  # IO_STATUS_BLOCK
    if flush is None or flush(handle, no_sync, None, 0, state) != 0:
        os.fsync(descriptor)


def sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
