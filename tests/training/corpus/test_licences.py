"""The licence gate: names, expressions, texts, and files that speak for themselves."""

from __future__ import annotations

import pytest
from identify.vendor.licenses import LICENSES

from diffill.training.corpus.licences import LicenceGate, is_known, normalise, recognise
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
        ("BSD-3-clause and Expat", "BSD-3-Clause AND MIT"),
        ("GPL-2+ or (Apache-2.0 and mit)", "GPL-2.0-or-later OR (Apache-2.0 AND MIT)"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("BSD", "BSD"),
        ("one, or another", "one, or another"),
    ],
)
def test_other_spellings(written: str, expression: str) -> None:
    assert normalise(written) == expression


def test_names_of_families_are_not_known() -> None:
    assert is_known("Apache-2.0 OR EPL-1.0") and not LicenceGate().accepts("EPL-1.0")
    for name in ("BSD", "Go", "MIT AND Go", "BSL", "one, or another"):
        assert not is_known(name) and not LicenceGate().accepts(normalise(name))


def test_a_licence_text_is_recognised() -> None:
    assert recognise(MIT) == "MIT"
    assert recognise("Copyright 2020. All rights reserved.\n") is None


def test_a_licence_text_is_recognised_as_projects_write_it() -> None:
    terms = dict(LICENSES)["BSD-3-Clause"].split("All rights reserved.")[1]
    for number in "123":
        terms = terms.replace(f"{number}. ", "  * ")
    terms = terms.replace("the copyright holder nor", "the Project and its friends, with a very long name, nor")
    holders = "".join(f"- Copyright (c) {year}-, Someone Else\n" for year in range(2000, 2010))
    assert recognise(f"{holders}\nAll rights reserved.\n{terms}") == "BSD-3-Clause"
    commented = "".join(f"#  {line}\n" for line in f"{holders}{terms}".splitlines())
    assert recognise(commented) == "BSD-3-Clause"
    assert recognise(f"{holders}{terms}\nAnd you must pay.\n" + "Pay a lot.\n" * 20) is None


PAID = "Whoever sells this must pay us.\n"
RULE = "-" * 40


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        (f"This is under the MIT license:\n\n{MIT}", "MIT"),
        (f"Use that is non-commercial, at home and at school, is free under the terms that follow:\n\n{MIT}", None),
        (f"{PAID * 9}\n{MIT}", None),
        (f"{MIT}\n{RULE}\n\nThe files in lib are licensed as:\n\n{dict(LICENSES)['ISC']}", "ISC AND MIT"),
        (f"{MIT}\n{RULE}\n\nThe files in lib are licensed as:\n\n{MIT}", "MIT"),
        (f"{MIT}\n{RULE}\n{PAID}", None),
    ],
)
def test_texts_within_a_text(text: str, expression: str | None) -> None:
    assert recognise(text) == expression


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
