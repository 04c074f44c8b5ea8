"""Many requests at once, ids used again, and two windows that share an engine: each answer once, and its own."""

from __future__ import annotations

import contextlib
import random
from collections import Counter

from tests.fake_answers import Answers
from tests.lsp_client import LspClient, Message, engine_processes, inline_params, insert, lsp_client

METHOD = "textDocument/inlineCompletion"
REQUESTS = 1_000


def test_every_request_of_a_storm_is_answered_once() -> None:
    chance = random.Random(0)
    with lsp_client(answer="1") as client:
        client.initialize(options={"delay": 0})
        client.wait_ready()
        uri = client.open("x = \n" * 50, uri="file:///storm.py")
        messages: list[Message] = []
        for number in range(1, REQUESTS + 1):
            identifier = 10_000 + number
            place = {"line": chance.randrange(50), "character": 4}
            change = insert(place["line"], 4, chance.choice("ab"))
            identity = {"uri": uri, "version": number + 1}
            messages += [
                {"method": "textDocument/didChange", "params": {"textDocument": identity, "contentChanges": [change]}},
                {"id": identifier, "method": METHOD, "params": inline_params(uri, place["line"], 5)},
            ]
            if chance.random() < 0.5:
                messages.append({"method": "$/cancelRequest", "params": {"id": chance.choice([identifier, number])}})
        client.send(*messages)
        for number in range(1, REQUESTS + 1):
            client.answer(10_000 + number)
        assert set(answered(client).values()) == {1}
        # The same ids again, one after the other: an answer of before would be taken for one of these.
        for number in range(1, 21):
            client.received.clear()
            client.send({"id": 10_000 + number, "method": METHOD, "params": inline_params(uri, 0, 4, invoked=True)})
            assert "result" in client.answer(10_000 + number)
        client.received.clear()
        client.request("shutdown")
        assert not answered(client)


def answered(client: LspClient) -> Counter[object]:
    """How often each completion was answered."""
    ids = (message.get("id") for message in client.received if "method" not in message)
    return Counter(number for number in ids if isinstance(number, int) and number > 10_000)


def test_two_windows_with_the_same_file_are_strangers(answers: Answers) -> None:
    answers.set({"first = ": "1", "second = ": "2"})
    with lsp_client(answer="wrong", table=str(answers.path)) as one:
        with contextlib.closing(LspClient(environment=one.environment)) as other:
            expected = {one: ("first = ", "1"), other: ("second = ", "2")}
            for client, (text, _) in expected.items():
                client.initialize(options={"delay": 0})
                client.wait_ready()
                client.open(f"\n{text}", uri="file:///same.py")
            for version in range(2, 40):
                for client, (text, answer) in expected.items():
                    client.change("file:///same.py", version, insert(0, version - 2, "#"))
                    found = client.request(METHOD, inline_params("file:///same.py", 1, len(text)))
                    assert [item["insertText"] for item in found["items"]] == [answer]
            assert len(engine_processes(one)) == 1
            assert other.shut_down() == 0
        one.change("file:///same.py", 40, insert(0, 0, "# "))
        assert one.request(METHOD, inline_params("file:///same.py", 1, 8))["items"]
