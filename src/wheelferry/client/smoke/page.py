"""What one level of the suite saw, as a page with its pictures inside: for people, beside the JSON."""

import base64
import html
import os

_LARGEST = 4000000  # bytes of a picture
_PICTURES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


def render(document, folder):
    """The page for what the harness wrote into `folder`."""
    return _PAGE % {
        "title": _e("%s@%s, level %s" % (document["recipe"], document["release"], document["level"])),
        "machine": _e("Python %s, %s" % (document["python"], document["platform"])),
        "figures": "".join(_row(name, "%.4g" % value) for name, value in sorted(document["figures"].items())),
        "checks": "".join(_check(check, folder) for check in document["checks"]),
    }


def _check(check, folder):
    reason = "<p>%s</p>" % _e(check["reason"]) if check["reason"] else ""
    values = "".join(_row(name, value) for name, value in check["values"].items())
    pictures = "".join(_picture(os.path.join(folder, one["path"]), one["caption"]) for one in check["files"])
    return '<h2 class="%s">%s: %s</h2>%s<table>%s</table>%s' % (
        check["status"],
        _e(check["title"]),
        check["status"],
        reason,
        values,
        pictures,
    )


def _row(name, value):
    return "<tr><td>%s</td><td>%s</td></tr>" % (_e(name), _e(value))


def _picture(path, caption):
    kind = _PICTURES.get(os.path.splitext(path)[1].lower())
    if kind is None or not os.path.isfile(path) or os.path.getsize(path) > _LARGEST:
        return ""
    with open(path, "rb") as stream:
        data = base64.b64encode(stream.read()).decode("ascii")
    return '<figure><img src="data:image/%s;base64,%s" alt="%s"><figcaption>%s</figcaption></figure>' % (
        kind,
        data,
        _e(caption),
        _e(caption),
    )


def _e(text):
    return html.escape(str(text))


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
td { padding: .1rem 1rem .1rem 0 } img { max-width: 100%% } figure { margin: 1rem 0 }
h2 { font-size: 1.1rem } .failed { color: #c62828 } .passed { color: #1a7f37 }
</style>
<h1>%(title)s</h1>
<p>%(machine)s</p>
<table>%(figures)s</table>
%(checks)s
</html>
"""
