"""The licence gate: expressions, texts, files that speak for themselves, and Debian's list of licences by file."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from diffill.training.corpus.licences import (
    DebianCopyright,
    LicenceGate,
    is_licence_file,
    is_metadata_file,
    recognise,
    spdx,
)
from tests.training.corpus.small_archives import MIT

GPL_NOTE = "This program is free software: redistribute it under the terms of the GNU General Public License.\n"


@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("Apache-2.0 OR GPL-2.0-or-later", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("LicenseRef-public-domain", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-2.0-only", False),
        ("MIT AND (LGPL-2.1-only OR GPL-2.0-only)", False),
        ("SomethingElse", False),
        ("do what you want", False),
        ("", False),
    ],
)
def test_expressions(expression: str, accepted: bool) -> None:
    assert LicenceGate().accepts(expression) is accepted


def test_the_list_can_be_shorter() -> None:
    assert not LicenceGate(["MIT"]).accepts("ISC")


@pytest.mark.parametrize(
    ("written", "expression"),
    [
        ("Expat", "MIT"),
        ("BSD-3-clause and Expat", "BSD-3-clause and MIT"),
        ("GPL-2+ or Apache-2.0", "GPL-2+ or Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
    ],
)
def test_other_spellings(written: str, expression: str) -> None:
    assert spdx(written) == expression


def test_a_licence_text_is_recognised() -> None:
    assert recognise(MIT) == "MIT"
    assert recognise("Copyright 2020. All rights reserved.\n") is None


METADATA = "a-1.dist-info/METADATA"


@pytest.mark.parametrize(
    ("stated", "metadata", "refusal"),
    [
        ("MIT", {"LICENSE": MIT, METADATA: "License-Expression: MIT\n"}, None),
        ("MIT", {"LICENSE": "something home-made"}, None),
        ("GPL-3.0-only", {}, "licence 'GPL-3.0-only' is not on the list"),
        ("MIT", {METADATA: "License-Expression: AGPL-3.0-only\n"}, "its metadata says 'AGPL-3.0-only'"),
        ("MIT", {METADATA: "Classifier: License :: OSI Approved :: GNU General Public License v3\n"}, "GNU General"),
        ("MIT", {"package.json": '{"license": "SSPL-1.0"}'}, "its metadata says 'SSPL-1.0'"),
        ("MIT", {"package.json": '{"license": "Apache-2.0"}'}, None),
        ("MIT", {"package.json": "{"}, None),
    ],
)
def test_packages(stated: str, metadata: dict[str, str], refusal: str | None) -> None:
    found = LicenceGate().refusal(stated, metadata)
    assert found == refusal or (refusal is not None and found is not None and refusal in found)


def test_a_text_that_is_not_on_the_list() -> None:
    gate = LicenceGate(["ISC", "Apache-2.0"])
    assert gate.refusal("ISC", {"LICENSE": MIT}) == "LICENSE is MIT, which is not on the list"
    assert gate.refusal("Apache-2.0 OR MIT", {"LICENSE-MIT": MIT}) is None, "one of the choices that are given"


@pytest.mark.parametrize(
    ("head", "accepted"),
    [
        ("# SPDX-License-Identifier: MIT\n", True),
        ("/* SPDX-License-Identifier: GPL-2.0-only */\n", False),
        ("// SPDX-License-Identifier: GPL-2.0-only OR MIT\n", True),
        (f"# {GPL_NOTE}", False),
        ("# under the GNU Lesser General\n# Public License\n", False),
        ("# A tool.\n", True),
        ("x = 1\n" * 1000 + GPL_NOTE, True),
    ],
)
def test_files(head: str, accepted: bool) -> None:
    assert LicenceGate().accepts_file(head + "x = 1\n") is accepted


DEBIAN = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 Someone
License: Expat

Files: lib/*
Copyright: 2020 Other
License: GPL-2+

License: Expat
 Do what you want.

License: GPL-2+
 See the file.
"""


def test_debian_licences_by_file() -> None:
    found = DebianCopyright(DEBIAN)
    assert found.licence_of(PurePosixPath("src/a.c")) == "MIT"
    assert found.licence_of(PurePosixPath("lib/a.c")) == "GPL-2+"
    with pytest.raises(ValueError, match="not machine-readable"):
        DebianCopyright("This package was made by someone.\n")


@pytest.mark.parametrize(
    ("path", "licence", "metadata"),
    [
        ("a-1/LICENSE.txt", True, False),
        ("a-1.dist-info/licenses/COPYING", True, False),
        ("a-1.dist-info/METADATA", False, True),
        ("a/_vendor/b-1.dist-info/METADATA", False, False),
        ("a/_vendor/b-1.dist-info/LICENSE", False, False),
        ("a-1/LICENSE-docs", False, False),
        ("package/package.json", False, True),
        ("package/node_modules/b/package.json", False, False),
        ("debian/copyright", False, True),
        ("a-1/licenses.py", False, False),
    ],
)
def test_a_package_speaks_for_itself_alone(path: str, licence: bool, metadata: bool) -> None:
    assert (is_licence_file(PurePosixPath(path)), is_metadata_file(PurePosixPath(path))) == (licence, metadata)
