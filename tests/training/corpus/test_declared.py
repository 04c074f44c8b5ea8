"""What packages say of their own licence: metadata, texts, and Debian's list of licences by file."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from identify.vendor.licenses import LICENSES

from diffill.training.corpus.declared import (
    DebianCopyright,
    declared_licence,
    is_metadata_file,
    refusal_by_licence,
)
from diffill.training.corpus.licences import LicenceGate, is_licence_file
from tests.training.corpus.small_archives import MIT

METADATA = "a-1.dist-info/METADATA"
PROJECT = '[project]\nname = "a"\nlicense = {}\n'
ISC_AND_MIT = f"{dict(LICENSES)['ISC']}\n{'-' * 30}\n\n{MIT}"
GNU = "Classifier: License :: OSI Approved :: GNU General Public License v3\n"
GNU_PROJECT = (
    PROJECT.format('"MIT"') + 'classifiers = ["License :: OSI Approved :: GNU Affero General Public License"]\n'
)
DEBIAN = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 Someone
License: Expat

Files: lib/*
Copyright: 2020 Other
License: GPL-2+

Files: own/*
Copyright: 2020 Third
License: Own

License: Expat
 Do what you want.

License: GPL-2+
 See the file.

License: Own
""" + "".join(f" {line or '.'}\n" for line in MIT.splitlines())


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ({METADATA: "License-Expression: bsd-3-clause and MIT\n", "LICENSE": MIT}, "BSD-3-Clause AND MIT"),
        ({METADATA: "License: BSD\n", "LICENSE": MIT}, "MIT"),
        ({METADATA: "License: Apache License, Version 2.0\n"}, "Apache-2.0"),
        ({METADATA: "Classifier: License :: OSI Approved :: MIT License\n"}, "MIT"),
        ({METADATA: "License: BSD\nClassifier: License :: OSI Approved :: BSD License\n"}, None),
        ({METADATA: "License: GPL-3.0-only\n"}, None),
        ({METADATA: "License-Expression: GPL-3.0-only\n"}, "GPL-3.0-only"),
        ({"package.json": '{"license": "ISC"}', "LICENSE": MIT}, "ISC"),
        ({"package.json": '{"license": "SEE LICENSE IN LICENSE"}', "LICENSE": MIT}, "MIT"),
        ({"package.json": "{", "LICENSE": MIT}, "MIT"),
        ({"pyproject.toml": PROJECT.format('"MIT OR Apache-2.0"'), "LICENSE.MIT": MIT}, "MIT OR Apache-2.0"),
        ({"pyproject.toml": PROJECT.format('{text = "MIT License"}')}, "MIT"),
        ({"pyproject.toml": PROJECT.format('{file = "LICENSE"}'), "LICENSE": MIT}, "MIT"),
        ({"pyproject.toml": PROJECT.format('{text = "BSD"}')}, None),
        ({"pyproject.toml": '[project]\nclassifiers = ["License :: OSI Approved"]\n'}, None),
        ({"pyproject.toml": '[project]\nclassifiers = ["License :: OSI Approved :: MIT License"]\n'}, "MIT"),
        ({"pyproject.toml": "[project", "LICENSE": MIT}, "MIT"),
        ({"setup.cfg": "[metadata]\nlicense = Apache-2.0\n"}, "Apache-2.0"),
        ({"setup.cfg": "no section\n", "LICENSE": MIT}, "MIT"),
        ({"setup.py": "setup(name='a', license='BSD-3-Clause')\n"}, "BSD-3-Clause"),
        ({"setup.py": "setup(license=open('LICENSE').read())\n"}, None),
        ({"setup.py": "print 'of another time'\n", "LICENSE": MIT}, "MIT"),
        ({"LICENSE": MIT, "LICENSE.other": ISC_AND_MIT}, "ISC AND MIT"),
        ({"debian/copyright": DEBIAN}, "MIT"),
        ({"debian/copyright": DEBIAN.replace("License: Expat", "License: Sphinx")}, "Sphinx"),
        ({"debian/copyright": "This was made by someone.\n", "LICENSE": MIT}, "MIT"),
        ({"debian/copyright": "This was made by someone.\n"}, None),
        ({"LICENSE": "All rights reserved.\n"}, None),
        ({}, None),
    ],
)
def test_a_package_speaks_for_itself(metadata: dict[str, str], licence: str | None) -> None:
    assert declared_licence(metadata, LicenceGate()) == licence


@pytest.mark.parametrize(
    ("licence", "metadata", "refusal"),
    [
        ("MIT", {"LICENSE": MIT}, None),
        ("MIT", {METADATA: "License-Expression: MIT\n", "COPYING": "something home-made"}, None),
        ("MIT", {}, "its own files do not say under which licence it is"),
        ("Apache-2.0", {"LICENSE": MIT}, "its own files say 'MIT', the manifest says 'Apache-2.0'"),
        ("SSPL-1.0", {"package.json": '{"license": "SSPL-1.0"}'}, "licence 'SSPL-1.0' is not on the list"),
        ("MIT", {METADATA: f"{GNU}License-Expression: MIT\n"}, "its metadata says 'License :: OSI Approved :: GNU"),
        ("MIT", {"pyproject.toml": GNU_PROJECT}, "its metadata says 'License :: OSI Approved :: GNU"),
        ("MIT OR GPL-3.0-only", {METADATA: f"{GNU}License-Expression: MIT OR GPL-3.0-only\n"}, None),
    ],
)
def test_the_manifest_must_say_the_same(licence: str, metadata: dict[str, str], refusal: str | None) -> None:
    found = refusal_by_licence(metadata, licence, LicenceGate())
    assert found == refusal or (refusal is not None and found is not None and found.startswith(refusal))


def test_a_text_that_is_not_on_the_list() -> None:
    gate = LicenceGate(["ISC", "Apache-2.0"])
    metadata = {METADATA: "License-Expression: ISC\n", "LICENSE": MIT}
    assert refusal_by_licence(metadata, "ISC", gate) == "LICENSE is MIT, which is not on the list"
    metadata[METADATA] = "License-Expression: Apache-2.0 OR MIT\n"
    assert refusal_by_licence(metadata, "Apache-2.0 OR MIT", gate) is None, "one of the choices that are given"


def test_debian_licences_by_file() -> None:
    found = DebianCopyright(DEBIAN)
    assert found.licence() == "MIT"
    assert found.licence_of(PurePosixPath("src/a.c")) == "MIT"
    assert found.licence_of(PurePosixPath("lib/a.c")) == "GPL-2.0-or-later"
    assert found.licence_of(PurePosixPath("own/a.c")) == "MIT", "by the text that is given for the name"
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
        ("package.json", False, True),
        ("setup.py", False, True),
        ("docs/pyproject.toml", False, False),
        ("debian/copyright", False, True),
        ("a-1/licenses.py", False, False),
    ],
)
def test_a_package_speaks_for_itself_alone(path: str, licence: bool, metadata: bool) -> None:
    assert (is_licence_file(PurePosixPath(path)), is_metadata_file(PurePosixPath(path))) == (licence, metadata)
