"""The installation that this program belongs to: its receipt, the checks that it passed, its records."""

import json
import os

RECORDS = "accepted"  # the installer leaves it alone, whatever it removes
_RECEIPT = "receipt.json"
_LISTING = "apps.json"
_MARKER = ".wheelferry.json"
_PICTURES = (".png", ".jpg", ".jpeg")


class Installation(object):
    """What surrounds the folder of apps: an environment of a prefix, an existing one, or a bundle."""

    def __init__(self, apps):
        above = os.path.dirname(apps)
        if not os.path.isfile(os.path.join(apps, _LISTING)) and os.path.isfile(os.path.join(above, _LISTING)):
            apps = above  # in a bundle of several projects each has a folder of its own there
        self.apps = apps
        self.root = os.path.dirname(apps)
        self.receipt = _read_json(os.path.join(self.root, _RECEIPT)) or {}
        self.listing = _read_json(os.path.join(apps, _LISTING)) or {}

    @property
    def title(self):
        """Name of the project and its release, as in detectron2@v0.6."""
        bundle = self.receipt.get("bundle", self.listing)
        return "%s@%s" % (bundle.get("recipe", "?"), bundle.get("release", "?"))

    @property
    def records(self):
        """The folder for records: beside all environments, because an upgrade removes old ones."""
        prefix = os.path.dirname(os.path.dirname(self.root))
        if os.path.isfile(os.path.join(prefix, _MARKER)):
            return os.path.join(prefix, RECORDS)
        if self.receipt:  # installed into an existing environment: its own folder, with the receipt
            return os.path.join(self.root, RECORDS)
        return os.path.abspath(RECORDS)

    def facts(self):
        """Pairs of texts: which bundle this is, who signed it, when it was installed."""
        if not self.receipt:
            return [("Bundle", self.title), ("Installed", "not by the bundle's installer")]
        bundle = self.receipt["bundle"]
        signed = bundle.get("signed_by")
        return [
            ("Bundle", self.title),
            ("Bundle's digest", bundle["digest"]),
            ("Signature", "signed by %s; checked when it was installed" % signed if signed else _UNSIGNED),
            ("Installed", "%s, for %s" % (self.receipt["date"], self.receipt["target"])),
            ("Checked here", self._checked()),
        ]

    def _checked(self):
        suite = self.receipt.get("suite") or {}
        texts = ["%s: %d passed, %d failed" % (k, v["passed"], v["failed"]) for k, v in sorted(suite.items())]
        return "; ".join(texts) or "no: the installation was made without checks"

    def checks(self):
        """The checks that ran on this machine, by level, as the bundle's suites wrote them.

        Of several projects each has a folder of its own in that of the level.
        """
        found = {}
        for level in ("smoke", "train"):
            folder = os.path.join(self.root, "report", level)
            for name in ["", *sorted(os.listdir(folder) if os.path.isdir(folder) else ())]:
                document = _read_json(os.path.join(folder, name, level + ".json"))
                if document:
                    checks = document.get("checks", [])
                    found.setdefault(level, []).extend(_below(name, check) for check in checks)
        return found

    def picture(self, level, name):
        """Where a picture of a check lies; None for anything that no check names."""
        named = [file["path"] for check in self.checks().get(level, []) for file in check["files"]]
        if name not in named or not name.lower().endswith(_PICTURES):
            return None
        return os.path.join(self.root, "report", level, *name.split("/"))


def _below(folder, check):
    """The check with its files counted from the folder above `folder`."""
    if not folder:
        return check
    return dict(check, files=[dict(f, path="%s/%s" % (folder, f["path"])) for f in check["files"]])


_UNSIGNED = "was not checked when it was installed (install with --key to have it checked)"


def _read_json(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
