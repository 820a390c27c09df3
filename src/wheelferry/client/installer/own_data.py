"""The user's data set on its way to the checks: examined, converted, handed in."""

import json
import os

from wheelferry.client.common.errors import BadInput, InstallFailed, NotPossibleHere
from wheelferry.client.common.files import remove_tree
from wheelferry.client.common.processes import run
from wheelferry.client.data.ready import check_before, require_sound, unpacked
from wheelferry.client.smoke.own_data import locate, require_support, write_request


def look_before(own, bundle, console):
    """`own` with its files found here or in the bundle, after what this Python can see of the data set.

    Raises BadInput for a data set with errors: nothing was installed yet. A data set in an archive is looked
    at later.
    """
    require_support(bundle.path("smoke"))
    found = locate(own, bundle.root)
    if os.path.isdir(found.data):
        check_before(found.data, console, os.cpu_count() or 1)
    return found


def hand_in(own, python, installer, session):
    """Make the data set ready with the environment's `python`, which can open pictures; the request's file.

    `own` names files that are there, `installer` is install.pyz. Raises BadInput for a data set with errors.
    """
    tmp = session.prefix.tmp
    for left in ("data-set", "own-data"):  # of an environment that was tried and failed
        remove_tree(os.path.join(tmp, left))
    data = unpacked(own.data, os.path.join(tmp, "data-set"))
    ready = os.path.join(tmp, "own-data")
    command = [python, "-I", installer, "data", "convert", data, "--out", ready]
    command += ["--link", "--strict", "--json", "--quiet"]
    with session.task("examine and convert the data set", "own data"):
        status, output = run(command, session.env, session.log, held=session.held)
    result = _document(output)
    if result is None:
        raise InstallFailed("the data set could not be examined (exit status %d):\n%s" % (status, output))
    if "error" in result:
        kind = NotPossibleHere if result["exit_code"] == NotPossibleHere.exit_code else BadInput
        raise kind(result["error"], hint=result["hint"])
    require_sound(result)
    request = os.path.join(tmp, "own-data.json")
    write_request(request, own, ready)
    return request


def _document(output):
    """The JSON document in what a command printed; None where there is none."""
    try:
        return json.loads(output[output.index("{") : output.rindex("}") + 1])
    except ValueError:
        return None
