"""The shipped weights, through the same processes and commands that a user has. Nothing is faked here."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.decoder_loading import load_decoder
from diffill.model.engine import BlockDecoder
from diffill.model.fim import fim_prompt
from diffill.model.request import DecodeRequest, DecodeResult, Mode, pack_ids
from diffill.model.tokenizer import Tokenizer
from tests.command_line import HANG_GUARD_SECONDS, run, run_json
from tests.lsp_client import LspClient, inline_params

ROOT = Path(__file__).parents[2]
PROMPTS = 50
SAMPLE = """\
class Account:
    def __init__(self, owner, balance):
        self.owner = owner
        self.balance = balance

    def deposit(self, amount):
        self.balance += amount

    def withdraw(self, amount):
        self.balance -= 
"""


@pytest.fixture(scope="module")
def decoder() -> BlockDecoder:
    return load_decoder(checkpoint=DEFAULT_CHECKPOINT, device="cpu")


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    # Not pytest's directory: the path of a socket has about a hundred bytes at most.
    with tempfile.TemporaryDirectory(prefix="dfl-", ignore_cleanup_errors=True) as directory:
        environment = {"DIFFILL_RUNTIME_DIR": directory, "DIFFILL_DEVICE": "cpu"}
        yield environment
        run("engine", "stop", **environment)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workspace") / "account.py"
    path.write_text(SAMPLE, "utf-8")
    return path


def test_verify_equals_ar_on_real_code(decoder: BlockDecoder) -> None:
    """Token for token, on holes cut into this repository's own files."""
    tokenizer = Tokenizer.load(DEFAULT_CHECKPOINT)
    generator = random.Random(0)
    texts = [path.read_text("utf-8") for path in sorted((ROOT / "model").glob("*.py"))]
    for number in range(PROMPTS):
        text = generator.choice([text for text in texts if len(text) > 1000])
        at = generator.randrange(300, len(text) - 100)
        prefix, suffix = tokenizer.encode(text[max(0, at - 600) : at]), tokenizer.encode(text[at + 40 : at + 200])
        prompt = pack_ids(fim_prompt(prefix, suffix))

        def decode(mode: Mode, prompt: bytes = prompt) -> DecodeResult:
            return decoder.decode(DecodeRequest(prompt=prompt, mode=mode, max_tokens=20))

        plain, checked = decode("ar"), decode("verify")
        assert (checked.tokens, checked.finish) == (plain.tokens, plain.finish), number
        # The normaliser is summed over the vocabulary in fp32, by as many threads as the step has rows for.
        assert checked.score == pytest.approx(plain.score, abs=1e-4), number
        assert checked.forward_passes <= plain.forward_passes


def test_the_checkpoint_is_whole_and_in_small_files(decoder: BlockDecoder) -> None:
    assert max(path.stat().st_size for path in DEFAULT_CHECKPOINT.iterdir()) < 45_000_000
    assert decoder.info.parameters == 134_479_872


def test_complete_answers_in_the_documented_form(environment: dict[str, str], sample: Path) -> None:
    place = f"{sample}:10:25"
    first = run_json("complete", place, **environment)
    again = run_json("complete", place, **environment)
    assert set(first) == {
        "items", "mode", "device", "tokens", "steps", "forward_passes", "cached_tokens", "ms", "model",
    }  # fmt: skip
    assert first["items"][0]["text"].startswith("amount")
    assert first["items"][0]["range"]["start"] == {"line": 10, "column": 25}
    assert set(first["ms"]) == {"prefill", "denoise", "total"}
    assert first["model"]["hash"] and first["device"] == "cpu"
    assert again["items"] == first["items"] and again["cached_tokens"] > first["cached_tokens"]


@pytest.mark.parametrize("mode", ["ar", "verify", "diffusion"])
def test_every_mode_fills_the_gap(environment: dict[str, str], sample: Path, mode: str) -> None:
    answer = run_json("complete", f"{sample}:10:25", "--mode", mode, **environment)
    assert answer["mode"] == mode and answer["items"][0]["text"].startswith("amount")
    assert answer["tokens"] >= 1 and answer["forward_passes"] >= 1


def test_a_killed_engine_loses_nothing(environment: dict[str, str], sample: Path) -> None:
    """SIGKILL while the server waits for an answer: that request or at the latest the next one is answered."""
    with contextlib.closing(LspClient(environment=environment)) as client:
        client.initialize()
        client.wait_ready()
        uri = client.open(SAMPLE, uri=sample.as_uri())
        params = inline_params(uri, 9, len(SAMPLE.splitlines()[9]), invoked=True)
        pending = client.start_request("textDocument/inlineCompletion", params)
        os.kill(json.loads(run("engine", "status", "--json", **environment).stdout)["pid"], signal.SIGKILL)
        assert "error" not in client.answer(pending)
        deadline = time.monotonic() + HANG_GUARD_SECONDS
        items: list[object] = []
        while not items and time.monotonic() < deadline:
            items = (client.request("textDocument/inlineCompletion", params) or {}).get("items", [])
        assert items


def test_the_demo_shows_completions_and_a_block(environment: dict[str, str]) -> None:
    shown = run_json("demo", **environment)
    assert len(shown["completions"]) >= 6
    assert sum(bool(item["text"]) for item in shown["completions"]) >= 6
    assert {row["mode"] for row in shown["modes"]} == {"ar", "verify", "diffusion"}
