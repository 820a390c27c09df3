"""What an examination found: counted by kind, the first of each kept with their places."""

from collections import OrderedDict

from wheelferry.client.data.kinds import ERROR, KINDS, LEVELS, WARNING

KEPT_OF_A_KIND = 1000  # examples; more are only counted


class Found(object):
    """Counts what is named, and keeps the first KEPT_OF_A_KIND of each kind."""

    def __init__(self):
        self._counts = {}
        self._examples = {}

    def add(self, code, file, where="", detail=""):
        """One thing of the kind `code`; `file` as the user knows it, `where` in it: a line or an id."""
        count = self._counts[code] = self._counts.get(code, 0) + 1
        if count <= KEPT_OF_A_KIND:
            self._examples.setdefault(code, []).append((file, where, detail))

    def count(self, level):
        """How many things of a level there are."""
        return sum(count for code, count in self._counts.items() if KINDS[code].level == level)

    def has(self, code):
        """Whether anything of a kind was found."""
        return code in self._counts

    @property
    def has_errors(self):
        """Whether anything is an error."""
        return any(KINDS[code].level == ERROR for code in self._counts)

    def to_json(self):
        """Every kind that was found, errors first, with its count and its first examples."""
        rows = [KINDS[code] for code in KINDS if code in self._counts]
        rows.sort(key=lambda kind: LEVELS.index(kind.level))
        return [
            OrderedDict(
                (
                    ("code", kind.code),
                    ("level", kind.level),
                    ("meaning", kind.meaning),
                    ("on_conversion", kind.done),
                    ("count", self._counts[kind.code]),
                    (
                        "examples",
                        [
                            OrderedDict((("file", file), ("where", where), ("detail", detail)))
                            for file, where, detail in self._examples[kind.code]
                        ],
                    ),
                )
            )
            for kind in rows
        ]

    def summary(self):
        """How many errors and warnings, and of how many kinds."""
        return {level: self.count(level) for level in (ERROR, WARNING, LEVELS[2])}
