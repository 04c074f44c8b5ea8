"""Answers of the fake model, and one server that repairs are tried on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fake_answers import Answers
from tests.lsp_client import LspClient, lsp_client

CAPABILITIES = {
    "textDocument": {
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["quickfix", "refactor.rewrite"]}},
            "dataSupport": True,
            "isPreferredSupport": True,
            "disabledSupport": True,
            "honorsChangeAnnotations": True,
            "resolveSupport": {"properties": ["edit"]},
            "tagSupport": {"valueSet": [1]},
        }
    },
    "workspace": {
        "applyEdit": True,
        "workspaceEdit": {"documentChanges": True, "changeAnnotationSupport": {"groupsOnLabel": True}},
    },
    "window": {"workDoneProgress": True},
    "experimental": {"commands": {"commands": ["diffill.askInstruction"]}},
}


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return Answers(tmp_path_factory.mktemp("fake") / "table.json")


@pytest.fixture(scope="session")
def repairing(answers: Answers) -> Iterator[LspClient]:
    """A ready server for a client that can do everything; every test opens documents of its own."""
    with lsp_client(answer="", table=str(answers.path)) as client:
        result = client.initialize(encodings=["utf-16"], capabilities=CAPABILITIES)
        provider = result["capabilities"]["codeActionProvider"]
        assert provider["resolveProvider"] is True
        assert {"diffill.fix", "diffill.rewrite"} <= set(result["capabilities"]["executeCommandProvider"]["commands"])
        client.wait_ready()
        yield client
