"""What the commands that ship a bundle print: sign, index, diff, delta, split."""

from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import quote

from wheelferry.cli.console import print_json, print_line
from wheelferry.client.common.signature import CHECK_COMMAND
from wheelferry.client.common.sizes import human_size
from wheelferry.models.manifest import SIGNATURE
from wheelferry.transfer.differences import Change, Difference

if TYPE_CHECKING:  # for their names alone
    from wheelferry.serving.index import Indexed
    from wheelferry.transfer.delta import Made
    from wheelferry.transfer.sign import Signed
    from wheelferry.transfer.split import Volumes


def show_signed(signed: "Signed", *, as_json: bool) -> None:
    """A signature, and what whoever checks it needs."""
    path = signed.root / SIGNATURE
    if as_json:
        print_json(
            {
                "bundle": str(signed.root),
                "digest": signed.digest,
                "signature": str(path),
                "signed_by": signed.signer,
                "allowed_signer": signed.allowed_signer,
            }
        )
        return
    print_line(f"signed by {signed.signer}: {path}")
    print_line("Hand this line on by another way than the bundle, as a file allowed_signers:")
    print_line(signed.allowed_signer)
    print_line(
        "It is checked by wheelferry verify, wheelferry install and install.sh with --key FILE, or before"
    )
    print_line("anything of the bundle is started, in the bundle's folder (on Windows in cmd), by")
    print_line(CHECK_COMMAND)


def show_index(result: "Indexed", *, as_json: bool) -> None:
    """An index that was written, and how it is served and used."""
    size = sum(wheel.size for wheel in result.wheels)
    if as_json:
        files = [{"filename": wheel.filename, "sha256": wheel.sha256} for wheel in result.wheels]
        print_json({"out": str(result.out), "bytes": size, "files": files, "locks": list(result.locks)})
        return
    print_line(
        f"index: {result.out} ({result.projects} projects, {len(result.wheels)} files, {human_size(size)})"
    )
    print_line(f"serve it with any web server, as in: python -m http.server --directory {result.out}")
    print_line("on a client, one lock exactly; SERVER is that server's address, as in server:8000:")
    for name in result.locks:
        if name.endswith(".txt"):
            print_line(
                "  pip install --index-url http://SERVER/simple/ --require-hashes "
                f"-r http://SERVER/{quote(name)}"
            )


def show_difference(seen: Difference, *, as_json: bool) -> None:
    """How two bundles differ."""
    if as_json:
        print_json(seen.to_json())
        return
    for change in seen.properties:
        print_line(_changed(change))
    for name in seen.targets_added:
        print_line(f"+ target {name}")
    for name in seen.targets_removed:
        print_line(f"- target {name}")
    for target in seen.targets:
        print_line(f"target {target.new}" + ("" if target.old == target.new else f" (was {target.old})"))
        for change in (*target.identity, *target.packages):
            print_line(f"  {_changed(change)}")
        for name in target.rebuilt:
            print_line(f"  {name}: the same version, other bytes")
        for name in target.left_out:
            print_line(f"  {name}: left out now (--exclude), although something requires it")
        for name in target.left_out_before:
            print_line(f"  {name}: no longer left out (--exclude)")
    for change in seen.assets:
        short = Change(name=change.name, old=(change.old or "")[:12], new=(change.new or "")[:12])
        print_line(f"asset {_changed(short)}")
    for mark, names in (("+", seen.files_added), ("-", seen.files_removed), ("~", seen.files_changed)):
        for name in names:
            print_line(f"{mark} {name}")
    for move in seen.files_moved:
        print_line(f"{move.old} -> {move.new}")
    print_line(
        f"{human_size(seen.bytes_old)} before, {human_size(seen.bytes_new)} now, "
        f"of which {human_size(seen.bytes_lacking)} are new"
    )


def _changed(change: Change) -> str:
    if change.old and change.new:
        return f"{change.name}: {change.old} -> {change.new}"
    return f"+ {change.name} {change.new}" if change.new else f"- {change.name} {change.old}"


def show_delta(made: "Made", *, as_json: bool) -> None:
    """A delta that was made."""
    if as_json:
        print_json(
            {
                "delta": str(made.out),
                "old": made.old.digest,
                "new": made.new.digest,
                "brought": made.brought,
                "bytes": made.bytes,
                "bytes_new": made.bytes_new,
            }
        )
        return
    print_line(
        f"delta: {made.out} ({made.brought} files, {human_size(made.bytes)} "
        f"of the {human_size(made.bytes_new)} of the new bundle)"
    )
    print_line("on the client: sh apply.sh OLD --out NEW (Windows: apply.cmd)")


def show_volumes(made: "Volumes", *, as_json: bool) -> None:
    """Volumes that were written."""
    if as_json:
        volumes = [asdict(volume) for volume in made.volumes]
        print_json({"volumes": volumes, "out": str(made.out), "digest": made.manifest.digest})
        return
    for volume in made.volumes:
        print_line(f"{made.out / volume.path}  {human_size(volume.size)}  sha256 {volume.sha256}")
    print_line("one folder for each medium; on the client: sh join.sh --out BUNDLE (Windows: join.cmd)")
