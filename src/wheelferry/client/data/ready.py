"""A data set that a program can train with: examined, without any error, and as COCO JSON."""

import os

from wheelferry.client.common.archives import unpack_archive
from wheelferry.client.common.errors import BadInput
from wheelferry.client.data.convert import convert
from wheelferry.client.data.examine import Options, examine
from wheelferry.client.data.report_lines import lines

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def make_ready(path, out, progress, jobs=1):
    """Examine the data set `path`, and write it to the new folder `out` as COCO JSON; returns the result.

    Pictures are hard links where that can be. Raises BadInput with all findings where there are errors.
    """
    return require_sound(convert(path, out, Options(jobs=jobs), True, progress, strict=True))


def check_before(path, progress, jobs=1):
    """Examine `path` and write nothing; BadInput as in `make_ready`."""
    require_sound(examine(path, Options(jobs=jobs), progress).to_json())


def require_sound(result):
    """The result of an examination; raises BadInput with what is told of it where there are errors."""
    told = "\n".join(lines(result))
    if result["counts"]["error"]:
        raise BadInput(
            "the data set has errors, so nothing is proven with it:\n%s" % told,
            hint="mend them; or `data convert` writes a data set without what they concern",
            details={"data": result},
        )
    if not any(split["fit_objects"] for split in result["splits"]):
        raise BadInput("the data set has no labelled object:\n%s" % told, details={"data": result})
    return result


def unpacked(path, folder):
    """`path`, or where it is an archive, the folder `folder` to which it is unpacked. Raises Damaged."""
    if not os.path.isfile(path) or not path.lower().endswith(_ARCHIVES):
        return path
    unpack_archive(path, folder)
    return folder
