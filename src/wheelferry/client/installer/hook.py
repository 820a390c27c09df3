"""Tells a project where its weights and data are. Runs at every start of Python in the environment.

The installer copies this file into site-packages as ``wheelferry_assets.py``, and a ``.pth`` file there calls
`point`. Where all is as it should be that costs some file system calls; everything dear is imported late.

What a project calls a cache it also writes to: fvcore and iopath want a lock file beside each file that they
open, and where they cannot have one they turn to the temporary folder and to the network. A user who must not
write to the environment, or shares it with others whose lock files he cannot open, gets a folder of his own
with links to the files.
"""

import os

LANDMARK = "wheelferry.json"  # in the environment's folder
COMPLETE = ".wheelferry-complete"  # in a user's own folder once every file has its link


def point(variables, identity):
    """Set each environment variable to its folder, unless it is set: the user's own word counts.

    `variables` maps names to folders, relative to the environment with forward slashes; `identity` changes
    with what is in them. Never raises for what a file system can do.
    """
    environment = None
    for variable, place in variables.items():
        if variable in os.environ:
            continue
        environment = environment or _environment()
        if environment is None:
            return
        root = os.path.join(environment, *place.split("/"))
        os.environ[variable] = root if _is_own(root) else _overlay(root, identity)


def _environment():
    """The environment's folder: the nearest one above this file with the landmark in it."""
    # not the symbolic link that may have led here: it will point to the next environment one day
    folder = os.path.abspath(__file__) if os.name == "nt" else os.path.realpath(__file__)
    while True:
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
        if os.path.isfile(os.path.join(folder, LANDMARK)):
            return folder


def _is_own(folder):
    """Whether this user may write to the folder, and nobody else is meant to."""
    try:
        if os.name != "nt":
            return os.stat(folder).st_uid == os.geteuid() and os.access(folder, os.W_OK)
        # access() knows nothing of Windows' permissions
        trial = os.path.join(folder, ".wheelferry-%d" % os.getpid())
        os.close(os.open(trial, os.O_CREAT | os.O_WRONLY))
        os.remove(trial)
    except OSError:
        return False
    return True


def _overlay(root, identity):
    """A folder of this user's with links to all files below `root`; `root` itself where none can be had."""
    import zlib

    name = "%08x-%s" % (zlib.crc32(os.fsencode(root)) & 0xFFFFFFFF, identity)
    for make_base in (_cache, _temporary):
        try:
            base = make_base()
            if base is not None:
                folder = os.path.join(base, name)
                _fill(folder, root)
                return folder
        except OSError:
            continue
    return root


def _cache():
    """Our folder in the user's cache; None when that is not his own, as with sudo."""
    if os.name == "nt":
        cache = os.environ.get("LOCALAPPDATA")
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not cache or not os.path.isabs(cache):
        return None
    existing = cache
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    if os.name != "nt" and os.stat(existing).st_uid != os.geteuid():
        return None
    base = os.path.join(cache, "wheelferry", "assets")
    os.makedirs(base, 0o700, exist_ok=True)
    return base if _is_own(base) else None


def _temporary():
    """Our folder in the temporary one; None when somebody else could have put something there."""
    import tempfile

    if os.name == "nt":
        base = os.path.join(tempfile.gettempdir(), "wheelferry-assets")
        os.makedirs(base, exist_ok=True)
        return base
    base = os.path.join(tempfile.gettempdir(), "wheelferry-%d" % os.geteuid())
    os.makedirs(base, 0o700, exist_ok=True)
    status = os.lstat(base)
    private = status.st_uid == os.geteuid() and status.st_mode & 0o170077 == 0o040000
    return base if private else None


def _fill(folder, root):
    """Links in `folder` for everything below `root`. Several processes may do this at once: each step is
    whole or not there, and finds what another one did before."""
    complete = os.path.join(folder, COMPLETE)
    if os.path.isfile(complete):
        return
    for parent, folders, files in os.walk(root):
        here = os.path.normpath(os.path.join(folder, os.path.relpath(parent, root)))
        os.makedirs(here, 0o700, exist_ok=True)
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in files + links:
            if not name.endswith(".lock"):  # of those who may write there
                _give(os.path.join(parent, name), os.path.join(here, name))
    with open(complete, "w") as stream:
        stream.write(root + "\n")


def _give(source, destination):
    """A second name for a file: a symbolic link, else a hard one, else a copy."""
    for link in (os.symlink, os.link):
        try:
            return link(source, destination)
        except FileExistsError:
            return None
        except (OSError, NotImplementedError):
            continue
    import shutil

    part = "%s.%d.part" % (destination, os.getpid())
    shutil.copyfile(source, part)
    return os.replace(part, destination)
