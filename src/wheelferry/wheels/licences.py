"""The licence that a wheel states, as an SPDX expression where that can be told. No I/O.

Metadata fields: packaging.python.org, "Core metadata specifications" (License-Expression, License,
License-File, Classifier). Nobody's text is interpreted: what does not name a licence is told as it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

_CLASSIFIER = "License :: "
# What a classifier names when it names one licence. Those that do not (BSD, GPL without a version) are left
# out. The Apache Software License is 2.0 here: 1.1 was superseded when PyPI had hardly begun.
_CLASSIFIED = {
    "Apache Software License": "Apache-2.0",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "Zero-Clause BSD (0BSD)": "0BSD",
    "zlib/libpng License": "Zlib",
}
# How people write names in the License field, without case, punctuation and the words of `_NOISE`.
_WRITTEN = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "2 clause bsd": "BSD-2-Clause",
    "bsd 2 clause": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "3 clause bsd": "BSD-3-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "revised bsd": "BSD-3-Clause",
    "gplv3": "GPL-3.0-only",
    "gplv3+": "GPL-3.0-or-later",
    "hpnd": "HPND",
    "isc": "ISC",
    "lgplv3": "LGPL-3.0-only",
    "lgplv3+": "LGPL-3.0-or-later",
    "mit": "MIT",
    "mozilla public 2.0": "MPL-2.0",
    "mozilla public 2.0 mpl": "MPL-2.0",
    "mpl 2.0": "MPL-2.0",
    "psf": "PSF-2.0",
    "python foundation": "PSF-2.0",
    "unlicense": "Unlicense",
    "zlib": "Zlib",
}
_NOISE = {"the", "license", "licence", "software", "version", "v", "under"}
# What setuptools wrote for years where nothing was said.
_NOTHING = "UNKNOWN"
# Longer ones are the licence's text, or the reader's problem.
_NAME_LENGTH = 120
# Files that are licences wherever they lie in a wheel: a library that was copied in keeps its own.
_NAMED = re.compile(r"(licen[cs]es?|copying|copyright|notices?|unlicense)([._-].*)?", re.IGNORECASE)
_OF_DIST_INFO = re.compile(r"(licen[cs]es?|copying|copyright|notices?|authors)([._-].*)?", re.IGNORECASE)
_CODE = {
    ".py",
    ".pyc",
    ".pyi",
    ".pyx",
    ".so",
    ".pyd",
    ".dll",
    ".h",
    ".hpp",
    ".c",
    ".cpp",
    ".cu",
    ".js",
    ".json",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a wheel's metadata says of its licence, and where in the archive its texts lie."""

    expression: str = ""
    text: str = ""
    classifiers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Licence:
    """A licence: its SPDX `expression` if there is one, what the wheel calls it, and the doubt about it.

    `doubt` is empty when the licence is clear.
    """

    expression: str
    stated: str
    doubt: str


def judge(terms: Terms) -> Licence:
    """The licence that `terms` name. Fields that contradict one another are a doubt, not a choice."""
    if terms.expression:
        return _judge_expression(terms.expression)
    classifiers = [_last_part(text) for text in terms.classifiers if text.startswith(_CLASSIFIER)]
    written = "" if terms.text.strip().upper() == _NOTHING else terms.text.strip()
    is_name = bool(written) and "\n" not in written and len(written) <= _NAME_LENGTH
    said = list(dict.fromkeys([*([written] if is_name else []), *classifiers]))
    stated = "; ".join(said)
    named = {_CLASSIFIED[text] for text in classifiers if text in _CLASSIFIED}
    expression = _expression_of(written) if is_name else ""
    if expression:
        named.add(expression)
    if "Other/Proprietary License" in classifiers:
        return Licence(expression="", stated=stated, doubt="is proprietary: its own terms count")
    if len(named) == 1:
        (only,) = named
        return Licence(expression=only, stated=stated, doubt="")
    if named:
        doubt = f"names {' and '.join(sorted(named))}, and not whether all or one of them"
    elif said:
        doubt = f"says only {stated!r}, which names more than one licence"
    elif written:
        doubt = "gives a text instead of a name"
    else:
        doubt = "says nothing of its licence"
    return Licence(expression="", stated=stated, doubt=doubt)


def _judge_expression(text: str) -> Licence:
    try:
        expression = canonicalize_license_expression(text)
    except InvalidLicenseExpression as error:
        return Licence(
            expression="", stated=text, doubt=f"its License-Expression is not a SPDX expression ({error})"
        )
    own = sorted(set(re.findall(r"LicenseRef-[A-Za-z0-9.-]+", expression)))
    doubt = f"has terms of its own ({', '.join(own)})" if own else ""
    return Licence(expression=expression, stated=text, doubt=doubt)


def _last_part(classifier: str) -> str:
    return classifier.rpartition(" :: ")[2]


def _expression_of(name: str) -> str:
    """The SPDX expression that a name means; empty for one that may mean several, or none."""
    try:
        return canonicalize_license_expression(name)
    except InvalidLicenseExpression:
        pass
    words = [word for word in re.findall(r"[a-z0-9+.]+", name.casefold()) if word not in _NOISE]
    return _WRITTEN.get(" ".join(dict.fromkeys(words)), "")


def licence_files(names: Iterable[str], dist_info: str, declared: Iterable[str]) -> tuple[str, ...]:
    """Those of a wheel's files that are licence texts, in order: declared, in .dist-info, or copied in.

    `declared` are its License-File fields, which count from .dist-info/licenses, before metadata 2.4 from
    .dist-info itself.
    """
    stated = {f"{dist_info}/{folder}{name}" for name in declared for folder in ("licenses/", "")}
    return tuple(sorted(name for name in names if name in stated or _is_licence(name, dist_info)))


def _is_licence(name: str, dist_info: str) -> bool:
    path = PurePosixPath(name)
    if path.suffix.lower() in _CODE or name.endswith("/"):
        return False
    if name.startswith(f"{dist_info}/licenses/"):
        return True
    pattern = _OF_DIST_INFO if str(path.parent) == dist_info else _NAMED
    return pattern.fullmatch(path.name) is not None
