"""Whether a folder takes an installation: rights, file system, space."""

from wheelferry.client.common.sizes import human_size
from wheelferry.client.preflight.findings import NOTE, OK, PROBLEM, WARNING, Finding

_SHARED = (
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "webdav", "9p", "fuse.sshfs", "afs", "lustre", "gpfs",
    "beegfs",
)  # fmt: skip
_FAT = ("vfat", "msdos", "exfat", "fat", "fat16", "fat32")


def folder_of(profile, path):
    """What the profile says of the folder `path`; None when it was not asked."""
    return next((folder for folder in profile["folders"] if folder["path"] == path), None)


def examine_folders(profile, request):
    """Whether the prefix can be written, and what its file system lacks; nothing without a profile of it."""
    folder = folder_of(profile, request.prefix)
    if folder is None:
        return
    windows = profile["system"] == "Windows"
    kind = folder["file_system"] or "an unknown file system"
    elsewhere = "choose a folder on another disk with --prefix"
    if not folder["writable"]:
        state = "its disk is mounted read-only" if folder["read_only"] else folder["reason"]
        text = "%s cannot be written to: %s" % (folder["existing"], state)
        yield Finding("permission", PROBLEM, text, "choose a folder of your own with --prefix")
        return
    if not windows and (folder["symlinks"] is False or kind.lower() in _FAT):
        text = "%s is on %s, which has no symbolic links; an environment needs them"
        yield Finding("file-system", PROBLEM, text % (request.prefix, kind), elsewhere)
    elif request.needs and folder["largest_file"] and request.needs.largest_file > folder["largest_file"]:
        text = "%s is on %s, which holds files of at most %s; the bundle has one of %s"
        sizes = human_size(folder["largest_file"]), human_size(request.needs.largest_file)
        yield Finding("file-system", PROBLEM, text % (request.prefix, kind, *sizes), elsewhere)
    elif kind.lower() in _SHARED:
        text = "%s is on a network drive (%s): installing and importing take longer" % (request.prefix, kind)
        yield Finding("file-system", NOTE, text)
    else:
        yield Finding("file-system", OK, "%s, %s" % (request.prefix, kind))
    if folder["noexec"] or folder["executable"] is False:
        why = "is mounted noexec" if folder["noexec"] else "does not let programs start"
        text = "the disk of %s %s; neither Python nor compiled modules could be loaded"
        yield Finding("noexec", PROBLEM, text % (request.prefix, why), elsewhere)
    if folder["hard_links"] is False and request.installer == "uv":
        text = "%s has no hard links: uv copies, which takes more time and space" % request.prefix
        yield Finding("hard-links", NOTE, text)


def examine_space(profile, request):
    """Whether the file systems of prefix and temporary folder have the room (bytes, inodes)."""
    wanted = request.needs
    if wanted is None:
        return
    prefix, temp = folder_of(profile, request.prefix), folder_of(profile, request.temp)
    size, files = wanted.prefix_bytes, wanted.prefix_files
    uses_temp = bool(request.temp and wanted.temp_bytes)
    if uses_temp and prefix and temp and prefix["device"] == temp["device"]:
        # one disk has to hold both
        size, files, uses_temp = size + wanted.temp_bytes, files + wanted.temp_files, False
    another = "choose a folder on another disk with --prefix"
    yield from _enough(request.prefix, prefix, size, files, another)
    if uses_temp:
        another = "set TMPDIR to a folder on another disk"
        yield from _enough(request.temp, temp, wanted.temp_bytes, wanted.temp_files, another)


def _enough(path, folder, size, files, another):
    """Findings about the free bytes and inodes of one disk; `another` says how to take another disk."""
    free, inodes = (folder["free_bytes"], folder["free_inodes"]) if folder else (None, None)
    if free is None:
        text = "%s needed in %s; how much is free there is not known" % (human_size(size), path)
        yield Finding("space", WARNING, text)
    elif free < size:
        text = "%s free in %s, %s needed" % (human_size(free), path, human_size(size))
        yield Finding("space", PROBLEM, text, "free %s there, or %s" % (human_size(size - free), another))
    else:
        text = "%s free in %s, %s needed" % (human_size(free), path, human_size(size))
        yield Finding("space", OK, text)
    if inodes is not None and inodes < files:
        text = "the disk of %s has room for %d more files (inodes), %d are needed"
        yield Finding("inodes", PROBLEM, text % (path, inodes, files), "remove files there, or %s" % another)
