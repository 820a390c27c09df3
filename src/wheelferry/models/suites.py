"""Where a bundle has the smoke suites of its projects."""

FOLDER = "smoke"  # of a bundle, and of an installation
SUITE = "suite.json"  # in the folder of a suite: what it is of
LISTING = "suites.json"  # in a bundle of several projects: the folders of their suites, in order
FORMAT = 1
