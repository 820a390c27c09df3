"""An examination as lines for a person."""

from wheelferry.client.data.findings import KEPT_OF_A_KIND

_SHOWN = 3  # examples of a kind
_NOT_OPENED = (
    "NOT EXAMINED: the pictures themselves, for this Python has no Pillow: whether they can be read,\n"
    "their sizes, orientation and modes, and whether two are the same"
)


def lines(result, shown=_SHOWN):
    """The result of `check` or `convert`, worst first; `shown` examples of each kind."""
    told = ["%s: %s" % (_plain(result["path"]), result["format"])]
    told += [
        "  %s: %d pictures, %d of them fit; %d objects are fit"
        % (_plain(split["name"]), split["pictures"], split["fit_pictures"], split["fit_objects"])
        for split in result["splits"]
    ]
    told.append("  categories: %s" % (_plain(", ".join(result["categories"])) or "none"))
    if not result["pictures_opened"]:
        told.append(_NOT_OPENED)
    for kind in result["problems"]:
        told += _kind(kind, shown)
    counts = result["counts"]
    told += ["", "%d errors, %d warnings, %d notes" % (counts["error"], counts["warning"], counts["note"])]
    return told + _written(result)


def _kind(kind, shown):
    told = ["", "%s %s (%d): %s" % (kind["level"], kind["code"], kind["count"], kind["meaning"])]
    told += ["    " + _place(example) for example in kind["examples"][:shown]]
    if kind["count"] > shown:
        told.append("    and %d more%s" % (kind["count"] - shown, _where_more(kind["count"])))
    told.append("    on conversion: %s" % kind["on_conversion"])
    return told


def _place(example):
    place = ", ".join(part for part in (example["file"], example["where"]) if part)
    return _plain(place + (": " + example["detail"] if example["detail"] else ""))


def _plain(text):
    """Text without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _where_more(count):
    return "; --json has %s" % ("all" if count <= KEPT_OF_A_KIND else "the first %d" % KEPT_OF_A_KIND)


def _written(result):
    if "written" not in result:
        return []
    return ["written to %s:" % _plain(result["out"])] + [
        "  %s: %d pictures (%d copied, %d linked), %d objects"
        % (_plain(one["annotations"]), one["pictures"], one["copied"], one["linked"], one["objects"])
        for one in result["written"]
    ]
