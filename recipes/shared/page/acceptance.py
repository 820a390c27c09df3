"""Acceptance records: who accepted what, when, having seen which pictures; whole on the disk or not there.

A record is a folder ``DATE-NAME`` with ``record.json``, ``record.html`` to print, and the pictures as they
were seen. It is written aside and renamed when all of it is on the disk.
"""

import datetime as dt
import hashlib
import html
import json
import os
import re
import shutil
import unicodedata

from .unfit import Unfit

FORMAT = 1
ASIDE = ".part-"
LONGEST = 200  # characters of a name, 2000 of a remark
MOST_PICTURES = 200
_JPEG = b"\xff\xd8\xff"


def read_request(document):
    """The record that the page asks for, as plain values; raises Unfit for what a record cannot be."""
    if not isinstance(document, dict):
        raise Unfit("the record is not readable")
    name, remark = (_text(document.get(key, "")) for key in ("name", "remark"))
    if not name:
        raise Unfit("who accepts it?", hint="write a name")
    if len(name) > LONGEST or len(remark) > 10 * LONGEST:
        raise Unfit("the name or the remark is too long")
    pictures = document.get("pictures", [])
    if not isinstance(pictures, list) or not pictures:
        raise Unfit("no picture has been looked at yet", hint="add pictures first")
    if len(pictures) > MOST_PICTURES:
        raise Unfit("a record holds at most %d pictures" % MOST_PICTURES, hint="accept fewer at once")
    return {
        "name": name,
        "remark": remark,
        "threshold": _number(document.get("threshold")),
        "classes": [_text(one) for one in document.get("classes", []) if isinstance(one, str)],
        "pictures": [_text(one) for one in pictures if isinstance(one, str)],
    }


def _text(value):
    """A text without line ends and control characters, which the record would have to hide."""
    if not isinstance(value, str):
        raise Unfit("the record is not readable")
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", value).strip()


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise Unfit("the threshold is not a number from 0 to 1")
    return value


def make_record(asked, entries, names, title, facts):
    """The record of what was `asked` for: `entries` are the pictures that were answered, in that order.

    `names` are the model's classes; `facts` is what the page's panel says of installation and model.
    """
    now = dt.datetime.now(dt.timezone.utc)
    shown = set(asked["classes"])
    return {
        "format": FORMAT,
        "title": title,
        "accepted_by": asked["name"],
        "date": now.isoformat(timespec="seconds"),
        "local_date": now.astimezone().isoformat(timespec="seconds"),
        "remark": asked["remark"],
        "threshold": asked["threshold"],
        "classes_shown": [name for name in names if name in shown],
        "facts": [list(fact) for fact in facts],
        "pictures": [_picture(entry, asked["threshold"], shown, names) for entry in entries],
    }


def _picture(entry, threshold, shown, names):
    found = []
    for item in entry.answer["instances"]:
        name = names[item["label"]] if item["label"] < len(names) else str(item["label"])
        if item["score"] >= threshold and name in shown:
            found.append({"class": name, "score": item["score"], "box": item["box"]})
    answer = entry.answer
    return {
        "file": entry.name,
        "sha256": entry.sha256,
        "bytes": entry.size,
        "width": answer["width"],
        "height": answer["height"],
        "milliseconds": answer["milliseconds"],
        "found": found,
    }


def write_record(folder, record, pictures):
    """Write a record below `folder`; returns its name. `pictures` are JPEG bytes, one for each of its own.

    Raises Unfit when they are none, or the folder cannot be written to.
    """
    if len(pictures) != len(record["pictures"]) or not all(data.startswith(_JPEG) for data in pictures):
        raise Unfit("the pictures of the record did not arrive whole", hint="try again")
    try:
        os.makedirs(folder, exist_ok=True)
        name = _free_name(folder, record)
        work = os.path.join(folder, ASIDE + name)
        os.mkdir(work)
        try:
            _fill(work, record, pictures)
            os.replace(work, os.path.join(folder, name))
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        _sync_folder(folder)
    except OSError as error:
        raise Unfit(
            "the record cannot be written: %s" % error.strerror,
            hint="whoever started the program can choose a folder for records with --records DIR",
        ) from None
    return name


def sweep(folder):
    """Remove what a program that was killed had not finished; it had not been told to be accepted."""
    if os.path.isdir(folder):
        for name in os.listdir(folder):
            if name.startswith(ASIDE):
                shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def list_records(folder):
    """Names of the records in `folder`, the newest first."""
    if not os.path.isdir(folder):
        return []
    names = [n for n in os.listdir(folder) if os.path.isfile(os.path.join(folder, n, "record.json"))]
    return sorted((n for n in names if not n.startswith(ASIDE)), reverse=True)


def _free_name(folder, record):
    """DATE-NAME with letters, digits and hyphens alone, and a number where that is taken."""
    date = re.sub(r"[^0-9]", "", record["local_date"][:19])
    plain = unicodedata.normalize("NFKD", record["accepted_by"]).encode("ascii", "ignore").decode()
    person = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:40]
    base = "-".join(part for part in (date[:8], date[8:], person) if part)
    name, number = base, 1
    while os.path.lexists(os.path.join(folder, name)) or os.path.lexists(os.path.join(folder, ASIDE + name)):
        number += 1
        name = "%s-%d" % (base, number)
    return name


def _fill(work, record, pictures):
    for number, (entry, data) in enumerate(zip(record["pictures"], pictures), 1):
        entry["seen"] = "%d.jpg" % number
        entry["seen_sha256"] = hashlib.sha256(data).hexdigest()
        _write(os.path.join(work, entry["seen"]), data)
    text = json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    _write(os.path.join(work, "record.json"), text.encode("utf-8"))
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    _write(os.path.join(work, "record.html"), render(record, digest).encode("utf-8"))
    _sync_folder(work)


def _write(path, data):
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder):
    """Have the names in a folder on the disk too; Windows has no such call, and needs none."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def render(record, digest):
    """The record as a page to print; `digest` is the SHA-256 of record.json."""
    facts = "".join("<tr><th>%s</th><td>%s</td></tr>" % (_e(n), _e(v)) for n, v in record["facts"])
    return _PAGE % {
        "title": _e(record["title"]),
        "name": _e(record["accepted_by"]),
        "date": _e(_readable(record["local_date"])),
        "remark": "<p class=remark>%s</p>" % _e(record["remark"]) if record["remark"] else "",
        "threshold": _e("%g" % record["threshold"]),
        "classes": _e(", ".join(record["classes_shown"])),
        "count": len(record["pictures"]),
        "facts": facts,
        "pictures": "".join(_figure(entry) for entry in record["pictures"]),
        "digest": digest,
    }


def _readable(date):
    """2026-11-30T21:14:03+01:00 as 2026-11-30, 21:14 (UTC+01:00)."""
    return "%s, %s (UTC%s)" % (date[:10], date[11:16], date[19:])


def _figure(entry):
    counts = {}
    for item in entry["found"]:
        counts[item["class"]] = counts.get(item["class"], 0) + 1
    said = ", ".join("%d %s" % (count, name) for name, count in sorted(counts.items())) or "nothing"
    text = "%s, %d x %d pixels: %s" % (entry["file"], entry["width"], entry["height"], said)
    return _FIGURE % (entry["seen"], _e(text), _e(text), entry["sha256"])


_FIGURE = """<figure><img src="%s" alt="%s">
<figcaption>%s<br><small>SHA-256 %s</small></figcaption></figure>
"""


def _e(text):
    return html.escape(str(text))


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Acceptance record: %(title)s</title>
<style>
  @page { margin: 18mm; }
  body { font: 15px/1.5 system-ui, "Segoe UI", sans-serif; color: #1b2430; background: #fff;
         max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.6rem; margin: 0 0 .2rem; }
  .who { font-size: 1.1rem; margin: 0 0 1rem; }
  .remark { border-left: 4px solid #1c5fb8; padding: .2rem 0 .2rem .8rem; }
  table { border-collapse: collapse; width: 100%%; margin: 1rem 0; font-size: .9rem; }
  th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
           border-bottom: 1px solid #d6dce4; }
  th { white-space: nowrap; font-weight: 600; }
  td { overflow-wrap: anywhere; }
  .pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1rem; }
  figure { margin: 0; break-inside: avoid; }
  img { width: 100%%; border: 1px solid #d6dce4; }
  figcaption { font-size: .85rem; overflow-wrap: anywhere; }
  .sign { display: grid; grid-template-columns: 1fr 1fr; gap: 3rem; margin-top: 4rem; break-inside: avoid; }
  .sign div { border-top: 1px solid #1b2430; padding-top: .3rem; font-size: .85rem; }
  footer { margin-top: 2rem; font-size: .8rem; color: #55606e; overflow-wrap: anywhere; }
</style>
<h1>Acceptance record: %(title)s</h1>
<p class=who>Accepted by <strong>%(name)s</strong> on %(date)s.</p>
%(remark)s
<p>%(count)d pictures were seen, with what the model found at a score of %(threshold)s or more, of the
classes: %(classes)s.</p>
<h2>What was accepted</h2>
<table>%(facts)s</table>
<h2>What was seen</h2>
<div class=pictures>%(pictures)s</div>
<div class=sign><div>Place, date</div><div>Signature: %(name)s</div></div>
<footer>SHA-256 of record.json: %(digest)s</footer>
</html>
"""
