"""Which licences may be trained on, and what a package says of its own."""

from __future__ import annotations

import email
import json
import logging
import re
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from debian.copyright import Copyright, MachineReadableFormatError, NotMachineReadableError
from identify import identify
from license_expression import AND, OR, ExpressionError, get_spdx_licensing

ACCEPTED = (
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("HPND", "ISC", "MIT", "MIT-0", "MIT-CMU", "NCSA", "PSF-2.0", "PostgreSQL", "Python-2.0", "TCL", "UPL-1.0"),
    *("Unlicense", "X11", "Zlib", "blessing", "curl", "LicenseRef-public-domain"),
)
# How people write what SPDX has an identifier for; compared in lower case.
ALIASES = {
    **dict.fromkeys(
        ["apache", "apache 2.0", "apache license", "apache license 2.0", "apache 2.0 license"], "Apache-2.0"
    ),
    **dict.fromkeys(["apache-2", "apache software license", "apache license, version 2.0"], "Apache-2.0"),
    **dict.fromkeys(["apache license (2.0)", "apache2.0"], "Apache-2.0"),
    "apache-2.0-with-llvm-exception": "Apache-2.0 WITH LLVM-exception",
    "apache-2.0 with llvm exception": "Apache-2.0 WITH LLVM-exception",
    **dict.fromkeys(["expat", "mit license", "the mit license", "the mit license (mit)", "mit-x11"], "MIT"),
    **dict.fromkeys(["bsd", "bsd license", "new bsd license", "bsd 3-clause license"], "BSD-3-Clause"),
    **dict.fromkeys(["bsd-3-clause-google", "bsd-3-google", "bsd-3-clause~google", "go"], "BSD-3-Clause"),
    **dict.fromkeys(["freebsd", "bsd 2-clause license", "bsd-2-clause-netbsd"], "BSD-2-Clause"),
    **dict.fromkeys(["zlib/libpng"], "Zlib"),
    **dict.fromkeys(["bsl-1", "bsl"], "BSL-1.0"),
    "public-domain": "LicenseRef-public-domain",
    "python software foundation license": "PSF-2.0",
    "isc license (iscl)": "ISC",
}
LICENCE_FILE = re.compile(r"(?:licen[cs]e|copying|unlicense)(?:[-._].*)?$", re.IGNORECASE)
COPYLEFT = re.compile(r"GNU\s+(?:\W*\s*)?(?:Lesser |Library |Affero )?General\s+(?:\W*\s*)?Public\s+Licen[cs]e")
FILE_TAG = re.compile(r"SPDX-License-Identifier:\s*(.+?)\s*(?:\*/|-->)?$", re.MULTILINE)
HEAD = 3000
DEBIAN_COPYRIGHT = "debian/copyright"

logging.getLogger("debian.copyright").setLevel(logging.ERROR)  # other people's format slips are not our news


def is_licence_file(path: PurePosixPath) -> bool:
    """A licence text at the top of a package, or where a wheel keeps its own."""
    if LICENCE_FILE.match(path.name) is None or "docs" in path.name.lower():
        return False
    return len(path.parts) <= 2 or path.parts[0].endswith(".dist-info")


def is_metadata_file(path: PurePosixPath) -> bool:
    if path.name == "METADATA":  # of the package itself, not of one that it carries along
        return len(path.parts) == 2 and path.parts[0].endswith(".dist-info")
    return str(path) in ("package/package.json", DEBIAN_COPYRIGHT)


class LicenceGate:
    """What `accepted` (SPDX identifiers) lets in."""

    def __init__(self, accepted: Iterable[str] = ACCEPTED) -> None:
        self._accepted = frozenset(accepted)

    def accepts(self, expression: str) -> bool:
        """Whether an expression leaves us a licence on the list: one side of every OR, both of every AND."""
        parsed = _parse(expression)
        return parsed is not None and self._allows(parsed)

    def refusal(self, stated: str, metadata: Mapping[str, str]) -> str | None:
        """Why a package stays out, or None. `stated` is what the manifest says.

        The manifest, the package's own metadata and every licence text in it that is recognised must be on the list;
        a text may also be one of the choices that an expression gives (the GPL of `Apache-2.0 OR GPL-2.0`).
        """
        if not self.accepts(stated):
            return f"licence {stated!r} is not on the list"
        for expression in _own_expressions(metadata):
            if not self.accepts(expression):
                return f"its metadata says {expression!r}, which is not on the list"
        for path, text in metadata.items():
            if is_licence_file(PurePosixPath(path)):
                found = recognise(text)
                if found is not None and not self.accepts(found) and found not in stated:
                    return f"{path} is {found}, which is not on the list"
        return None

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


def recognise(text: str) -> str | None:
    """The SPDX identifier of a licence text, compared with the known ones by edit distance; None when none is near."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.write(text)
        file.flush()
        return identify.license_id(file.name)


class DebianCopyright:
    """`debian/copyright` in its machine-readable form: a licence for every file."""

    def __init__(self, text: str) -> None:
        """Raises ValueError when the text is not machine-readable."""
        try:
            self._copyright = Copyright(text.splitlines(), strict=False)
        except (NotMachineReadableError, MachineReadableFormatError, ValueError) as error:
            raise ValueError(f"{DEBIAN_COPYRIGHT} is not machine-readable: {error}") from None

    def licence_of(self, path: PurePosixPath) -> str | None:
        """The expression for one file, or None when no paragraph covers it."""
        paragraph = self._copyright.find_files_paragraph(str(path))
        licence: Any = None if paragraph is None else paragraph.license
        return None if licence is None else spdx(licence.synopsis)


def spdx(expression: str) -> str:
    """An expression with every spelling of `ALIASES` replaced."""
    words = re.split(r"(\s+(?:and|or|AND|OR)\s+|[()])", expression.strip())
    return " ".join(ALIASES.get(word.strip().lower(), word.strip()) for word in words if word.strip())


def _own_expressions(metadata: Mapping[str, str]) -> list[str]:
    """What metadata states in a form that can be compared; a licence's whole text in a field is not."""
    found = []
    for path, text in metadata.items():
        if path.endswith(".dist-info/METADATA"):
            headers = email.message_from_string(text)
            expression = headers.get("License-Expression")
            if expression is not None and "LicenseRef" not in expression:
                found.append(spdx(expression))
            classifiers = [one.split(" :: ")[-1] for one in headers.get_all("Classifier", []) if "GNU" in one]
            found += classifiers if expression is None else []
        elif path.endswith("package.json"):
            try:
                stated = json.loads(text).get("license")
            except (ValueError, AttributeError):
                continue
            if isinstance(stated, str):
                found.append(spdx(stated))
    return found


@cache
def _parse(expression: str) -> Any:
    try:
        return _licensing().parse(expression.strip())
    except (ExpressionError, ValueError):
        return None


@cache
def _licensing() -> Any:
    return get_spdx_licensing()
