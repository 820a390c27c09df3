"""What torch says about how it was compiled; nothing, so that a setup.py leaves out what it would rest on."""


def parallel_info() -> str:
    """How torch computes on several cores."""
    return ""


def show() -> str:
    """The options of torch's build."""
    return ""
