"""Weights and data: from the bundle into the environment, and where the project looks for them."""

import contextlib
import glob
import hashlib
import json
import os
import pkgutil
import shutil

from wheelferry.client.common.archives import unpack_archive
from wheelferry.client.common.bundle import CHUNK
from wheelferry.client.common.errors import Damaged, InstallFailed
from wheelferry.client.common.files import replace
from wheelferry.client.installer import hook
from wheelferry.client.installer.distributions import sha256_of

MODULE = "wheelferry_assets"  # what the hook is called in the environment


def place_assets(bundle, env, previous_env, on_bytes):
    """Put the bundle's assets into the environment `env`, and the hook that tells the project where they are.

    A file that the environment `previous_env` (None: there is none) has with the same content is linked
    from there, else it is copied. Every byte is hashed on its way. Returns what was written, as paths
    relative to `env` with forward slashes; nothing is written for a bundle without assets. `on_bytes` hears
    of the bytes of each asset. Raises Damaged when a file is not as it was packed, InstallFailed when `env`
    is not an environment.
    """
    if not bundle.assets:
        return []
    written = []
    for asset in bundle.assets:
        written += _place(bundle, asset, env, previous_env, on_bytes)
    variables = {variable: "assets/" + root for root, variable in sorted(bundle.asset_variables.items())}
    return written + _write_hook(variables, bundle.digest[:16], env)


def asset_files(bundle, env):
    """The files that `place_assets` writes, as far as that is known before archives are unpacked."""
    if not bundle.assets:
        return []
    names = [asset["path"] for asset in bundle.assets if not asset["unpack"]]
    site = _site_packages(env)
    names += [hook.LANDMARK, "%s/%s.py" % (site, MODULE), "%s/%s.pth" % (site, MODULE)]
    return [_below(env, name) for name in names]


def _place(bundle, asset, env, previous_env, on_bytes):
    """One asset at its place; an archive becomes what is in it."""
    name = asset["path"]
    size, sha256 = bundle.files[name]
    destination = _below(env, name)
    folder = os.path.dirname(destination)
    os.makedirs(folder, exist_ok=True)
    if asset["unpack"]:
        content = _unpack(bundle.path(name), folder, aside=destination + ".part")
        on_bytes(size)
        return [name.rpartition("/")[0] + "/" + each for each in content]
    earlier = _below(previous_env, name) if previous_env else ""
    if not _link_same(earlier, destination, size, sha256, on_bytes):
        _copy(bundle.path(name), destination, sha256, on_bytes)
    return [name]


def _unpack(source, folder, aside):
    """Unpack an archive aside and move what is in it to `folder`; what an earlier run left is replaced."""
    shutil.rmtree(aside, ignore_errors=True)
    content = unpack_archive(source, aside)
    for parent, _, _ in os.walk(aside):
        os.makedirs(os.path.normpath(os.path.join(folder, os.path.relpath(parent, aside))), exist_ok=True)
    for name in content:
        replace(_below(aside, name), _below(folder, name))
    shutil.rmtree(aside)
    return content


def _below(folder, name):
    return os.path.join(folder, *name.split("/"))


def _link_same(earlier, destination, size, sha256, on_bytes):
    """Link the file `earlier` to `destination` if it has this content; returns whether it is there now."""
    try:
        if not earlier or os.path.getsize(earlier) != size or sha256_of(earlier) != sha256:
            return False
        part = destination + ".part"
        with contextlib.suppress(FileNotFoundError):
            os.remove(part)
        os.link(earlier, part)
        replace(part, destination)
    except OSError:  # not there, on another disk, or a file system without links
        return False
    on_bytes(size)
    return True


def _copy(source, destination, sha256, on_bytes):
    """Copy aside, hashing what is written, then rename: what lands is what was packed."""
    part = destination + ".part"
    digest = hashlib.sha256()
    with open(source, "rb") as stream, open(part, "wb") as sink:
        for piece in iter(lambda: stream.read(CHUNK), b""):
            sink.write(piece)
            digest.update(piece)
            on_bytes(len(piece))
    if digest.hexdigest() != sha256:
        os.remove(part)
        raise Damaged("%s changed while it was read" % source, hint="check the disk that the bundle is on")
    replace(part, destination)


def _write_hook(variables, identity, env):
    """The description of the assets, and what Python runs at its start; returns what was written."""
    if not variables:
        return []
    packages = _site_packages(env)
    source = pkgutil.get_data("wheelferry.client.installer", "hook.py")  # from a folder or from install.pyz
    description = json.dumps({"variables": variables}, indent=1, sort_keys=True) + "\n"
    call = "import %s; %s.point(%r, %r)\n" % (MODULE, MODULE, variables, identity)
    files = {
        hook.LANDMARK: description.encode("ascii"),
        "%s/%s.py" % (packages, MODULE): source,
        # last: with it, the others are needed
        "%s/%s.pth" % (packages, MODULE): call.encode("ascii"),
    }
    for name, data in files.items():
        part = _below(env, name) + ".part"
        with open(part, "wb") as stream:
            stream.write(data)  # type: ignore[arg-type]  # our own source is always there
        replace(part, _below(env, name))
    return list(files)


def _site_packages(env):
    """The environment's folder of packages, relative to it with forward slashes."""
    for place in ("Lib", os.path.join("lib", "python3.*")):  # an environment of Windows, or another
        for found in glob.glob(os.path.join(glob.escape(env), place, "site-packages")):
            return os.path.relpath(found, env).replace(os.sep, "/")
    raise InstallFailed("%s is not a Python environment: it has no site-packages" % env)
