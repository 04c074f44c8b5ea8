"""What a package says of its own licence: in its metadata, in Debian's list by file, in its licence texts."""

from __future__ import annotations

import ast
import configparser
import email
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import msgspec
from debian.copyright import Copyright, MachineReadableFormatError, NotMachineReadableError

from .licences import LicenceGate, all_of, is_known, is_licence_file, normalise, recognise

DEBIAN_COPYRIGHT = "debian/copyright"
NPM_METADATA = "package.json"
PYTHON_PROJECT = "pyproject.toml"
SETUP_CONFIG = "setup.cfg"
SETUP_SCRIPT = "setup.py"
CLASSIFIER = "License :: "

logging.getLogger("debian.copyright").setLevel(logging.ERROR)  # other people's format slips are not our news


def is_metadata_file(path: PurePosixPath) -> bool:
    if path.name == "METADATA":  # of the package itself, not of one that it carries along
        return len(path.parts) == 2 and path.parts[0].endswith(".dist-info")
    at_the_top = (NPM_METADATA, PYTHON_PROJECT, SETUP_CONFIG, SETUP_SCRIPT)  # of a commit: archives have a folder there
    return str(path) in (f"package/{NPM_METADATA}", DEBIAN_COPYRIGHT, *at_the_top)


def declared_licence(metadata: Mapping[str, str], gate: LicenceGate) -> str | None:
    """The SPDX expression of a package from its own files, or None when they do not say.

    `metadata` is metadata and licence texts by path. The most exact statement decides: an expression in a field made
    for it; else every licence text that is recognised, all of which then hold; else a name that is met in a free field.
    """
    debian = metadata.get(DEBIAN_COPYRIGHT)
    stated = _debian_licence(debian) if debian is not None else next(_expressions(metadata), None)
    texts = [found for found in licence_texts(metadata).values() if found is not None]
    names = (normalise(name) for name in _names(metadata))
    return stated or all_of(texts) or next((name for name in names if gate.accepts(name)), None)


def refusal_by_licence(metadata: Mapping[str, str], licence: str, gate: LicenceGate) -> str | None:
    """Why a package that the manifest puts under `licence` stays out, or None.

    Its own files must say the same, and every text and classifier among them must be on the list; a text may also be
    one of the choices that the expression gives (the GPL of `Apache-2.0 OR GPL-2.0-only`).
    """
    declared = declared_licence(metadata, gate)
    if declared is None:
        return "its own files do not say under which licence it is"
    if declared != licence:
        return f"its own files say {declared!r}, the manifest says {licence!r}"
    if not gate.accepts(licence):
        return f"licence {licence!r} is not on the list"
    for classifier in _classifiers(metadata):
        if "GNU" in classifier and "OR" not in licence:
            return f"its metadata says {classifier!r}, which is not on the list"
    for path, found in licence_texts(metadata).items():
        if found is not None and not gate.accepts(found) and found not in licence:
            return f"{path} is {found}, which is not on the list"
    return None


def licence_texts(metadata: Mapping[str, str]) -> dict[str, str | None]:
    """The SPDX identifier of every licence text, by path; None where it is not recognised."""
    return {path: recognise(text) for path, text in metadata.items() if is_licence_file(PurePosixPath(path))}


class DebianCopyright:
    """`debian/copyright` in its machine-readable form: a licence for every file."""

    def __init__(self, text: str) -> None:
        """Raises ValueError when the text is not machine-readable."""
        try:
            self._copyright = Copyright(text.splitlines(), strict=False)
        except (NotMachineReadableError, MachineReadableFormatError, ValueError) as error:
            raise ValueError(f"{DEBIAN_COPYRIGHT} is not machine-readable: {error}") from None
        self._licence = cache(self._recognised)

    def licence(self) -> str | None:
        """The expression for all files that no other paragraph names, or None."""
        licences: list[Any] = [one.license for one in self._copyright.all_files_paragraphs() if "*" in one.files]
        return next((self._licence(one.synopsis) for one in reversed(licences) if one is not None), None)

    def licence_of(self, path: PurePosixPath) -> str | None:
        """The expression for one file, or None when no paragraph covers it."""
        paragraph = self._copyright.find_files_paragraph(str(path))
        licence: Any = None if paragraph is None else paragraph.license
        return None if licence is None else self._licence(licence.synopsis)

    def _recognised(self, synopsis: str) -> str:
        """A name that is only this package's own (`Go`, `BSD-C3`) stands for the text that is given with it."""
        expression = normalise(synopsis)
        if is_known(expression):
            return expression
        paragraphs: list[Any] = [*self._copyright.all_license_paragraphs(), *self._copyright.all_files_paragraphs()]
        licences = [paragraph.license for paragraph in paragraphs]
        texts = [one.text for one in licences if one is not None and one.synopsis == synopsis and one.text]
        return next(filter(None, map(recognise, texts)), expression)


def _debian_licence(text: str) -> str | None:
    try:
        return DebianCopyright(text).licence()
    except ValueError:
        return None


def file_licences(metadata: Mapping[str, str], licence: str) -> Callable[[PurePosixPath], str]:
    """From a path to its licence: the package's own, or what Debian's packaging says of the file."""
    text = metadata.get(DEBIAN_COPYRIGHT)
    if text is None:
        return lambda path: licence
    try:
        copyright_file = DebianCopyright(text)
    except ValueError:
        return lambda path: licence
    return lambda path: copyright_file.licence_of(path) or "no licence stated"


def _expressions(metadata: Mapping[str, str]) -> Iterator[str]:
    """What stands in a field that is made for an SPDX expression."""
    for headers in _headers(metadata):
        if (expression := headers.get("License-Expression")) is not None:
            yield normalise(expression)
    project = _python_project(metadata).get("license")
    if isinstance(project, str):
        yield normalise(project)
    stated = _npm_licence(metadata.get(NPM_METADATA, "{}"))
    if stated is not None:
        yield normalise(stated)


def _npm_licence(text: str) -> str | None:
    try:
        stated = json.loads(text).get("license")
    except (ValueError, AttributeError):
        return None
    return stated if isinstance(stated, str) and not stated.startswith("SEE ") else None


def _names(metadata: Mapping[str, str]) -> Iterator[str]:
    """What free fields call the licence, which often is the name of a family or a whole text."""
    for headers in _headers(metadata):
        yield headers.get("License", "")
    project = _python_project(metadata).get("license")
    if isinstance(project, dict):
        yield str(project.get("text", ""))
    yield _setup_config_licence(metadata.get(SETUP_CONFIG, ""))
    yield from _setup_script_licences(metadata.get(SETUP_SCRIPT, ""))
    for classifier in _classifiers(metadata):
        yield classifier.split(" :: ")[-1]


def _classifiers(metadata: Mapping[str, str]) -> list[str]:
    every = (one for headers in _headers(metadata) for one in headers.get_all("Classifier", []))
    stated = (*every, *_python_project(metadata).get("classifiers", []))
    return [one for one in stated if one.startswith(CLASSIFIER)]


def _python_project(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        project = msgspec.toml.decode(metadata.get(PYTHON_PROJECT, "")).get("project")
    except msgspec.DecodeError:
        return {}
    return project if isinstance(project, dict) else {}


def _setup_config_licence(text: str) -> str:
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read_string(text)
    except configparser.Error:
        return ""
    return config.get("metadata", "license", fallback="")


def _setup_script_licences(text: str) -> Iterator[str]:
    """What is written out in the call of `setup`; the script is read, not run."""
    try:
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError):
        return
    for keyword in (keyword for call in calls for keyword in call.keywords if keyword.arg == "license"):
        if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
            yield keyword.value.value


def _headers(metadata: Mapping[str, str]) -> list[Any]:
    return [email.message_from_string(text) for path, text in metadata.items() if path.endswith(".dist-info/METADATA")]
