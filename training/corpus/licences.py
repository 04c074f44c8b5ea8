"""Which licences may be trained on: names, expressions, texts."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from identify import identify
from license_expression import AND, OR, ExpressionError, get_spdx_licensing

ACCEPTED = (
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("HPND", "ISC", "MIT", "MIT-0", "MIT-CMU", "NCSA", "PSF-2.0", "PostgreSQL", "Python-2.0", "TCL", "UPL-1.0"),
    *("Unlicense", "X11", "Zlib", "blessing", "curl", "LicenseRef-public-domain"),
)
# How people write what SPDX has an identifier for; compared in lower case. A name of several licences (`BSD`, `Apache
# Software License`) is none: there the text decides.
ALIASES = {
    **dict.fromkeys(["apache 2.0", "apache-2", "apache2.0", "apache license 2.0", "apache 2.0 license"], "Apache-2.0"),
    **dict.fromkeys(["apache license, version 2.0", "apache license (2.0)"], "Apache-2.0"),
    "apache-2.0-with-llvm-exception": "Apache-2.0 WITH LLVM-exception",
    **dict.fromkeys(["expat", "mit license", "the mit license", "the mit license (mit)"], "MIT"),
    **dict.fromkeys(["new bsd license", "bsd 3-clause license", "3-clause bsd license"], "BSD-3-Clause"),
    **dict.fromkeys(["freebsd", "bsd 2-clause license"], "BSD-2-Clause"),
    "zlib/libpng": "Zlib",
    **{f"gpl-{number}": f"GPL-{number}.0-only" for number in (2, 3)},
    **{f"gpl-{number}+": f"GPL-{number}.0-or-later" for number in (2, 3)},
    "public-domain": "LicenseRef-public-domain",
    "python software foundation license": "PSF-2.0",
    "isc license (iscl)": "ISC",
    "the unlicense (unlicense)": "Unlicense",
}
LICENCE_FILE = re.compile(r"(?:licen[cs]e|copying|unlicense)(?:[-._].*)?$", re.IGNORECASE)
COPYLEFT = re.compile(r"GNU\s+(?:\W*\s*)?(?:Lesser |Library |Affero )?General\s+(?:\W*\s*)?Public\s+Licen[cs]e")
FILE_TAG = re.compile(r"SPDX-License-Identifier:\s*(.+?)\s*(?:\*/|-->)?$", re.MULTILINE)
HEAD = 3000
COMMENT = re.compile(r"^[ \t]*(?:#+|//)[ \t]*", re.MULTILINE)
HOLDER = re.compile(
    r"^\W*(?:copyright(?!\s(?:notice|holder|owner|law))|\(c\)|©|all rights reserved|(?:new |modified )?bsd.*licen[cs]e)"
    r".*$",
    re.IGNORECASE | re.MULTILINE,
)
ENDORSER = re.compile(r"(?<=neither the name of ).+?(?=\s+nor the\s+names)", re.IGNORECASE | re.DOTALL)
SEPARATOR = re.compile(r"^[ \t]*(?:[-=*_][ \t]*){20,}$", re.MULTILINE)
GRANT = re.compile(
    r"^[ \t]*(?:Redistribution and use in source|Permission (?:is hereby granted, free|to use, copy, modify))",
    re.MULTILINE,
)
LONGEST_PREFACE = 240
"""Characters; two sentences that say whose the terms are, and no terms of their own."""
CONDITION = re.compile(
    r"\b(?:non-?commercial|commons|GNU|[AL]?GPL\w*|only|except|unless|provided|not)\b", re.IGNORECASE
)
MARK = re.compile(r"^[ \t]*(?:[-*•]|\(?[0-9a-e][.)])[ \t]+", re.MULTILINE)


def is_licence_file(path: PurePosixPath) -> bool:
    """A licence text at the top of a package, or where a wheel keeps its own."""
    if LICENCE_FILE.match(path.name) is None or "docs" in path.name.lower():
        return False
    return len(path.parts) <= 2 or path.parts[0].endswith(".dist-info")


class LicenceGate:
    """What `accepted` (SPDX identifiers) lets in."""

    def __init__(self, accepted: Iterable[str] = ACCEPTED) -> None:
        self._accepted = frozenset(accepted)

    def accepts(self, expression: str) -> bool:
        """Whether an expression leaves us a licence on the list: one side of every OR, both of every AND."""
        parsed = _parse(expression)
        return parsed is not None and self._allows(parsed)

    def accepts_file(self, text: str) -> bool:
        """Whether what a file says of itself at its top lets it in."""
        head = text[:HEAD]
        tag = FILE_TAG.search(head)
        if tag is not None:
            return self.accepts(tag.group(1))
        return COPYLEFT.search(head) is None

    def _allows(self, expression: Any) -> bool:
        if isinstance(expression, OR):
            return any(map(self._allows, expression.args))
        if isinstance(expression, AND):
            return all(map(self._allows, expression.args))
        return str(expression) in self._accepted


@cache  # packages share their texts
def recognise(text: str) -> str | None:
    """The SPDX expression of a licence text, compared with the known ones by edit distance; None when none is near.

    Of several texts between lines that separate them, all must be known, and all hold.
    """
    if (whole := _nearest(text) or _nearest(_in_usual_form(text))) is not None:
        return whole
    parts = [part for part in SEPARATOR.split(text) if part.strip()]
    found = [recognise(part) for part in parts] if len(parts) > 1 else []
    return all_of(licence for licence in found if licence) if found and all(found) else None


def all_of(licences: Iterable[str]) -> str:
    """One expression of licences that hold together, each named once."""
    return " AND ".join(sorted({one for licence in licences for one in licence.split(" AND ")}))


def _in_usual_form(text: str) -> str:
    """As the known texts are laid out: no comment marks, no lines of holders, clauses by number, a title on BSD's."""
    terms = MARK.sub("1. ", HOLDER.sub("", COMMENT.sub("", text))).strip()
    terms = _without_preface(ENDORSER.sub("the copyright holder", terms, count=1))
    return f"BSD 3-Clause License\n\nAll rights reserved.\n\n{terms}" if terms.startswith("Redistribution") else terms


def _without_preface(terms: str) -> str:
    grant = GRANT.search(terms)
    if grant is None or grant.start() > LONGEST_PREFACE or CONDITION.search(terms[: grant.start()]):
        return terms
    return terms[grant.start() :].lstrip()


def _nearest(text: str) -> str | None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.write(text)
        file.flush()
        return identify.license_id(file.name)


def normalise(expression: str) -> str:
    """An expression in SPDX's own spelling: names by `ALIASES`, case and operators by the list of SPDX.

    What SPDX does not know stays as it is written; nothing accepts it.
    """
    words = re.split(r"(\s+(?:and|or|AND|OR)\s+|[()])", expression.strip())
    spelled = " ".join(ALIASES.get(word.strip().lower(), word.strip()) for word in words if word.strip())
    parsed = _parse(spelled)
    return spelled if parsed is None else str(parsed)


def is_known(expression: str) -> bool:
    """Whether SPDX lists every name in the expression."""
    parsed = _parse(expression)
    return parsed is not None and not _licensing().unknown_license_keys(parsed)


@cache
def _parse(expression: str) -> Any:
    try:
        return _licensing().parse(expression.strip())
    except (ExpressionError, ValueError):
        return None


@cache
def _licensing() -> Any:
    return get_spdx_licensing()
