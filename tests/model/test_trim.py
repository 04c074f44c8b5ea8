"""What loading took is given back, and everything goes on as before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from diffill.model.cpu import runs_here
from tests.tiny import tiny_checkpoint, tiny_config

LOAD = """
import sys
from pathlib import Path
from diffill.model import loading
from diffill.model.decoder_loading import load_decoder
from diffill.model.request import DecodeRequest, pack_ids

give_back = loading.give_back
loading.give_back = lambda: None
decoder = load_decoder(checkpoint=Path(sys.argv[1]), device="cpu")

def of_files():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("RssFile"))

def answer():
    decoder.pool.forget()
    return decoder.decode(DecodeRequest(prompt=pack_ids([20, 30, 40]), max_tokens=8)).tokens.hex()

first, before = answer(), of_files()
give_back()
print(before - of_files() > 30_000, answer() == first)
print(*sorted({"torch._dynamo", "torch._inductor", "sympy", "triton"} & sys.modules.keys()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.skipif(not runs_here(tiny_config()), reason="the native step needs a CPU with AVX-512 VNNI")
def test_a_loaded_engine_holds_neither_a_compiler_nor_the_code_that_loading_ran(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "tiny")
    command = [sys.executable, "-c", LOAD, str(checkpoint)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.stdout.splitlines() == ["True True", ""], process.stderr
