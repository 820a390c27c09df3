"""What a user wants proven with data of their own: read from options, and written for the suite's harness."""

import os
import re

from wheelferry.client.common.errors import BadInput
from wheelferry.client.common.files import read_json, write_json
from wheelferry.client.smoke.suite import suites_in

FORMAT = 1
# Assets that the user gave lie there, in a bundle and in an environment.
CARRIED = ("assets", "files")
_EXPECTATION = re.compile(r"^\s*(?P<metric>[^<>=\s][^<>=]*?)\s*(?P<relation>>=|<=|>|<)\s*(?P<value>\S+)\s*$")
_BUDGET = re.compile(r"^(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|m|h)$")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_WEIGHTS = (".pth", ".pkl", ".pt", ".npz")
DEFAULT_BUDGET = "10m"


class OwnData(object):
    """A data set, and what is to be done and reached with it.

    `data` is a folder, a label file or an archive; `weights` and `config` are files, or names that the
    bundle's programs know, or None. `expectations` are plain values: ``metric``, ``relation`` (one of >=, >,
    <=, <) and ``value``. `seconds` is the time for training and measuring.
    """

    def __init__(self, data, weights, config, expectations, seconds, evaluate_only):
        self.data = data
        self.weights = weights
        self.config = config
        self.expectations = expectations
        self.seconds = seconds
        self.evaluate_only = evaluate_only

    def to_json(self):
        """What a report says of it: no folder of this machine."""
        return {
            "data": os.path.basename(os.path.normpath(self.data)),
            "weights": self.weights and os.path.basename(self.weights),
            "config": self.config
            and (os.path.basename(self.config) if os.path.isabs(self.config) else self.config),
            "expected": ["%(metric)s %(relation)s %(value)g" % one for one in self.expectations],
            "seconds": self.seconds,
            "evaluate_only": self.evaluate_only,
        }


def read_own_data(data, weights, config, expect, budget, evaluate_only):
    """What the options ask for, as OwnData; None where no data set is named. Raises BadInput.

    All but `evaluate_only` are texts as a person wrote them; `expect` is a list of them, or None.
    """
    expectations = [parse_expectation(text) for text in expect or ()]
    seconds = parse_budget(budget or DEFAULT_BUDGET)
    if data is None:
        given = {"--weights": weights, "--config": config, "--expect": expect, "--budget": budget,
                 "--evaluate-only": evaluate_only}  # fmt: skip
        for option in given:
            if given[option]:
                raise BadInput("%s goes with --data" % option, hint="--data DIR names the data set")
        return None
    for option, value in (("--data", data), ("--weights", weights), ("--config", config)):
        if value == "":
            raise BadInput("%s is empty" % option, hint="is a variable not set?")
    return OwnData(data, weights, config, expectations, seconds, evaluate_only)


def parse_expectation(text):
    """An expectation such as ``bbox/AP50>=60`` as plain values; raises BadInput."""
    match = _EXPECTATION.match(text)
    try:
        value = float(match.group("value")) if match else None
    except ValueError:
        value = None
    if match is None or value is None or value - value != 0:  # not a number, or without end
        raise BadInput(
            "--expect %r is no expectation" % text,
            hint="a metric, one of >= > <= <, a number, all in quotes: --expect 'bbox/AP50>=60'",
        )
    return {"metric": match.group("metric"), "relation": match.group("relation"), "value": value}


def parse_budget(text):
    """The seconds of a time such as 90s, 10m or 1.5h; raises BadInput."""
    match = _BUDGET.match(text.strip())
    seconds = float(match.group("number")) * _SECONDS[match.group("unit")] if match else 0.0
    if not seconds:
        raise BadInput("--budget %r is no time" % text, hint="as in 90s, 10m or 1.5h")
    return seconds


def locate(own, root):
    """`own` with its files found on this machine: as they are named, else among the assets below `root`.

    `root` is a bundle or an environment. Raises BadInput for a data set or weights that are nowhere.
    """
    carried = os.path.join(root, *CARRIED)
    data = _find(own.data, carried)
    if data is None:
        raise BadInput("--data %s is not there" % own.data, hint=_with_carried("name a folder", carried))
    weights, config = own.weights, own.config
    if weights is not None:
        weights = _find(weights, carried) or weights
        if not os.path.isabs(weights) and (weights.endswith(_WEIGHTS) or os.sep in weights):
            raise BadInput("--weights %s is not there" % weights, hint=_with_carried("name a file", carried))
    if config is not None:
        config = _find(config, carried) or config
    return OwnData(data, weights, config, own.expectations, own.seconds, own.evaluate_only)


def _find(given, carried):
    """The absolute path of what is given: as it stands, or by its name among what is carried; or None."""
    for path in (given, os.path.join(carried, given)):
        if os.path.exists(path):
            return os.path.abspath(path)
    return None


def _with_carried(hint, carried):
    names = sorted(os.listdir(carried)) if os.path.isdir(carried) else []
    return hint + (", or what the bundle carries: %s" % ", ".join(names) if names else "")


def require_support(folder):
    """Raise BadInput where the (first) suite in `folder` has no check that takes a user's data."""
    suite = read_json(os.path.join(folder, suites_in(folder)[0], "suite.json")) or {}
    if not suite.get("own_data"):
        raise BadInput(
            "%s cannot be proven with data of your own: its suite has no check for that"
            % suite.get("recipe", "this bundle"),
            hint="leave --data away; or make the bundle anew, with a recipe that has own_data in [smoke]",
        )


def write_request(path, own, data, spell=str):
    """Write for the harness what is wanted with the data set that is ready in the folder `data`.

    `spell` gives a path as the Python that reads it has to name it.
    """
    weights, config = (
        spell(given) if given is not None and os.path.isabs(given) else given
        for given in (own.weights, own.config)
    )
    document = {
        "format": FORMAT,
        "data": spell(data),
        "weights": weights,
        "config": config,
        "seconds": own.seconds,
        "evaluate_only": bool(own.evaluate_only),
        "expectations": own.expectations,
    }
    write_json(path, document)
