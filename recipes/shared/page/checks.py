"""What was checked on this machine when the bundle was installed, as a page."""

import html
from urllib.parse import quote

_LEVELS = {"smoke": "Smoke checks", "train": "Training check"}
_SAID = {"passed": "passed", "failed": "failed", "skipped": "not possible on this machine"}


def render(installation):
    """The page: each check of each level, its result, its values and its pictures."""
    levels = installation.checks()
    parts = [_level(level, items) for level, items in levels.items()]
    facts = "".join("<tr><th>%s</th><td>%s</td></tr>" % (_e(n), _e(v)) for n, v in installation.facts())
    return _PAGE % {
        "title": _e(installation.title),
        "facts": facts,
        "levels": "".join(parts) or "<p>No checks were run on this machine yet.</p>",
    }


def _level(level, items):
    statuses = [item["status"] for item in items]
    counts = ["%d %s" % (statuses.count(s), _SAID[s]) for s in _SAID if s in statuses]
    rows = "".join(_check(level, item) for item in items)
    return "<h2>%s: %s</h2><ul class=checks>%s</ul>" % (_LEVELS[level], ", ".join(counts), rows)


def _check(level, item):
    status = item["status"]
    values = "".join("<dt>%s</dt><dd>%s</dd>" % (_e(k), _e(v)) for k, v in item["values"].items())
    pictures = "".join(
        '<figure><img src="/checks/%s/%s" alt="%s"><figcaption>%s</figcaption></figure>'
        % (level, quote(file["path"]), _e(file["caption"]), _e(file["caption"]))
        for file in item["files"]
        if file["path"].lower().endswith((".png", ".jpg", ".jpeg"))
    )
    reason = "<p>%s</p>" % _e(item["reason"]) if item["reason"] else ""
    return '<li class="%s"><strong>%s</strong> %s%s%s%s</li>' % (
        status,
        status,
        _e(item["title"]),
        reason,
        "<dl>%s</dl>" % values if values else "",
        pictures,
    )


def _e(text):
    return html.escape(str(text))


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Checked on this machine: %(title)s</title>
<link rel="stylesheet" href="/static/page.css">
<main class="report">
<p><a href="/">Back to the pictures</a></p>
<h1>Checked on this machine: %(title)s</h1>
<table class="facts">%(facts)s</table>
%(levels)s
</main>
</html>
"""
