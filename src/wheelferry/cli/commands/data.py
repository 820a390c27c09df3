"""Commands for labelled pictures: data check, data convert. Their work is the client's own."""

from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from wheelferry.cli.options import Json, Quiet

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Examine labelled pictures, and convert them to COCO JSON.",
)


class FormatName(StrEnum):
    """The choices of --format."""

    coco = "coco"
    voc = "voc"
    yolo = "yolo"
    labelme = "labelme"


class TaskName(StrEnum):
    """The choices of --task."""

    boxes = "boxes"
    masks = "masks"
    keypoints = "keypoints"


class TargetName(StrEnum):
    """The choices of --to."""

    coco = "coco"


Where = Annotated[
    str,
    typer.Argument(
        metavar="PATH", help="The data set: its folder, or its JSON, XML or YAML file.", show_default=False
    ),
]
Format = Annotated[
    FormatName | None, typer.Option("--format", help="Format of the labels; by default it is found out.")
]
Task = Annotated[
    TaskName | None,
    typer.Option(
        "--task", help="What the model learns: an object without an outline or keypoints is an error then."
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        "--images", metavar="DIR", help="Folder of the pictures, where it is none of the usual ones (COCO)."
    ),
]
Corners = Annotated[
    bool, typer.Option("--corners", help="Boxes are two corners, whatever the format says (COCO, YOLO).")
]
OneBased = Annotated[
    bool, typer.Option("--one-based", help="Pixels are counted from 1 (VOC; LabelImg counts from 0).")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", metavar="N", min=1, help="Pictures opened at the same time. Default: the cores."
    ),
]


@app.command()
def check(
    path: Where,
    form: Format = None,
    task: Task = None,
    images: Images = None,
    corners: Corners = False,
    one_based: OneBased = False,
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say all that is wrong with a data set, and alter nothing.

    It reads COCO JSON, Pascal VOC XML, YOLO text and labelme JSON, opens every picture, and names each kind
    of error and warning with its count, the first files and ids, and what a conversion does about it.
    The exit status is 1 where there are errors.
    """
    _run("check", path, None, False, (form, task, images, corners, one_based, jobs), json=json, quiet=quiet)


@app.command()
def convert(
    path: Where,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New folder to write to.")],
    to: Annotated[  # noqa: ARG001 -- there is one so far
        TargetName, typer.Option("--to", help="The format to write.")
    ] = TargetName.coco,
    link: Annotated[
        bool,
        typer.Option("--link", help="Hard links instead of copies of the pictures, where the disk can."),
    ] = False,
    form: Format = None,
    task: Task = None,
    images: Images = None,
    corners: Corners = False,
    one_based: OneBased = False,
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Examine a data set, and write what is sound of it as COCO JSON.

    The new folder has annotations.json and images/, or one such folder for each of train, val and test. It
    is there as a whole or not at all. The exit status is 1 where there were errors: what they concern is
    left out, and the rest is written.
    """
    given = (form, task, images, corners, one_based, jobs)
    _run("convert", path, str(out), link, given, json=json, quiet=quiet)


def _run(
    verb: str,
    path: str,
    out: str | None,
    link: bool,
    given: tuple[FormatName | None, TaskName | None, Path | None, bool, bool, int | None],
    *,
    json: bool,
    quiet: bool,
) -> None:
    from wheelferry.cli.console import print_json, print_line
    from wheelferry.cli.session import watcher
    from wheelferry.client.data.main import run
    from wheelferry.client.data.report_lines import lines

    form, task, images, corners, one_based, jobs = given
    options = SimpleNamespace(
        format=form and form.value,
        task=task and task.value,
        images=None if images is None else str(images),
        corners=corners,
        one_based=one_based,
        jobs=jobs,
        link=link,
    )
    result = run(verb, path, out, options, watcher(quiet=quiet))
    if json:
        print_json(result)
    else:
        print_line("\n".join(lines(result)))
    raise typer.Exit(result["exit_code"])
