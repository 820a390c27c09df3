"""What of the machine's settings may turn an installer away, and is kept from it."""

from wheelferry.client.preflight.findings import NOTE, Finding


def examine_variables(profile):
    """Variables and configuration files that would mislead an installer."""
    for variable in profile["environment"]:
        # conda and virtual environments set a handful of these each time they are activated
        if not variable["name"].upper().startswith(("CONDA", "_CONDA")):
            shown = "%s=%s" % (variable["name"], _shortened(variable["value"]))
            yield Finding("environment", NOTE, "%s is set; the installer ignores it" % shown)
    conda = [v["name"] for v in profile["environment"] if v["name"].upper().startswith(("CONDA", "_CONDA"))]
    if conda:
        text = "conda is active (%s); the installer ignores it" % ", ".join(conda)
        yield Finding("environment", NOTE, text)
    for path in profile["configuration"]:
        yield Finding("configuration", NOTE, "%s exists; it is not read here" % path)


def _shortened(value):
    return value if len(value) <= 80 else value[:77] + "..."
