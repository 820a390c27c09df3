"""Sizes as a person reads them."""


def human_size(size):
    """2.7 GB: decimal units, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return "%d B" % size if unit == "B" else "%.1f %s" % (size, unit)
        size /= 1000.0
    return "%.1f TB" % size
