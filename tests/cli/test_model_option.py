"""A model in Hugging Face layout from the command line to the real engine process."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command_line import refused, run
from tests.engine_process import private_directory
from tests.hugging_face import change, model_of, save

SOURCE = "def area(width, height):\n    return width * \n\nvalue = area(3, 4)\n"


def test_a_causal_model_completes_and_says_how(tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SOURCE, "utf-8")
    checkpoint = save(tmp_path / "qwen", model_of("qwen2", max_position_embeddings=4096))
    with private_directory() as directory:
        environment = {"DIFFILL_RUNTIME_DIR": str(directory)}
        model = ("--model", str(checkpoint), "--device", "cpu")
        try:
            process = run("complete", f"{tmp_path}/shape.py:2:20", *model, "--json", "--max-tokens", "8", **environment)
            assert process.returncode == 0, process.stderr
            answer = json.loads(process.stdout)
            assert answer["mode"] == "verify" and answer["model"]["name"] == "qwen" and answer["forward_passes"] > 0
            log = (directory / "engine.log").read_text("utf-8")
            assert (
                "qwen has not learned diffusion: such requests are decoded as verify" in log
                and "plain torch computes" in log
            )
        finally:
            run("engine", "stop", *model, **environment)


def test_what_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SOURCE, "utf-8")
    change(save(tmp_path / "other", model_of("llama")), architectures=["MistralForCausalLM"])
    line = refused(run("complete", f"{tmp_path}/shape.py:2:20", "--model", str(tmp_path / "other")))
    assert "architectures: MistralForCausalLM is not one of LlamaForCausalLM" in line
