"""The cache commands: info, verify, prune."""

from dataclasses import asdict
from typing import Annotated

import typer

from wheelferry.cli.options import Json

app = typer.Typer(
    help="Look after the cache of what was downloaded and built.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def info(json: Json = False) -> None:
    """Show where the cache is and what it holds."""
    from wheelferry.cache.store import Store, default_root
    from wheelferry.cli.console import print_json, print_line
    from wheelferry.client.common.sizes import human_size

    usage = Store(default_root()).usage()
    if json:
        print_json({**asdict(usage), "root": str(usage.root)})
        return
    print_line(f"cache folder     {usage.root}  (WHEELFERRY_CACHE sets another)")
    print_line(f"files            {usage.objects}, {human_size(usage.object_bytes)}")
    print_line(f"builds           {usage.builds}")
    print_line(f"source clones    {usage.sources}, {human_size(usage.source_bytes)}")
    print_line(f"unfinished       {human_size(usage.partial_bytes)} of interrupted downloads")


@app.command()
def verify(json: Json = False) -> None:
    """Re-hash every file in the cache.

    Damaged files are removed, and the exit code is then 4.
    """
    from wheelferry.cache.store import Store, default_root
    from wheelferry.cli.console import print_json, print_line
    from wheelferry.cli.live import ConsoleProgress

    store = Store(default_root())
    with ConsoleProgress().task("re-hash", unit="bytes") as task:
        task.total(store.usage().object_bytes)
        bad = store.damaged(on_bytes=task.advance)
    if json:
        print_json({"damaged": bad})
    else:
        for name in bad:
            print_line(f"damaged and removed: {name}")
        print_line(f"{len(bad)} damaged files; they will be fetched or built again when needed")
    if bad:
        raise typer.Exit(4)


@app.command()
def prune(
    days: Annotated[
        float, typer.Option(min=0, metavar="N", help="Keep what was used or written in the last N days.")
    ] = 0,
    json: Json = False,
) -> None:
    """Remove cached files that no bundle shares.

    A bundle on the same disk shares its files with the cache, and these stay. What interrupted commands left
    behind is removed too.
    """
    from wheelferry.cache.store import Store, default_root
    from wheelferry.cli.console import print_json, print_line
    from wheelferry.client.common.sizes import human_size

    freed = Store(default_root()).prune(older_than=days * 86400)
    if json:
        print_json({"freed_bytes": freed})
    else:
        print_line(f"freed {human_size(freed)}")
