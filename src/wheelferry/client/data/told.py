"""An examination as lines for a person."""

from wheelferry.client.data.found import KEPT_OF_A_KIND

_SHOWN = 3  # examples of a kind


def lines(result, shown=_SHOWN):
    """The result of `check` or `convert`, worst first; `shown` examples of each kind."""
    told = ["%s: %s" % (result["path"], result["format"])]
    for split in result["splits"]:
        told.append(
            "  %s: %d pictures, %d of them fit; %d objects are fit"
            % (split["name"], split["pictures"], split["fit_pictures"], split["fit_objects"])
        )
    told.append("  categories: %s" % (", ".join(result["categories"]) or "none"))
    if not result["pictures_opened"]:
        told.append(
            "NOT EXAMINED: the pictures themselves (this Python has no Pillow): whether they can be read, their "
            "sizes, orientation and modes, and whether two are the same"
        )
    for kind in result["problems"]:
        told.append("")
        told.append("%s %s (%d): %s" % (kind["level"], kind["code"], kind["count"], kind["meaning"]))
        for example in kind["examples"][:shown]:
            told.append("    " + _place(example))
        if kind["count"] > shown:
            told.append("    and %d more%s" % (kind["count"] - shown, _where_more(kind["count"])))
        told.append("    on conversion: %s" % kind["on_conversion"])
    told.append("")
    counts = result["counts"]
    told.append("%d errors, %d warnings, %d notes" % (counts["error"], counts["warning"], counts["note"]))
    return told + _written(result)


def _place(example):
    place = ", ".join(part for part in (example["file"], example["where"]) if part)
    return place + (": " + example["detail"] if example["detail"] else "")


def _where_more(count):
    return "; --json has %s" % ("all" if count <= KEPT_OF_A_KIND else "the first %d" % KEPT_OF_A_KIND)


def _written(result):
    if "written" not in result:
        return []
    told = ["written to %s:" % result["out"]]
    for one in result["written"]:
        told.append(
            "  %s: %d pictures (%d copied, %d linked), %d objects"
            % (one["annotations"], one["pictures"], one["copied"], one["linked"], one["objects"])
        )
    return told
