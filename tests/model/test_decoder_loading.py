"""A decoder from a checkpoint directory, and what cannot be one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffill.model.checkpoint import checkpoint_hash
from diffill.model.decoder_loading import load_decoder
from diffill.model.device import choose_device
from tests.tiny import VOCABULARY_SIZE, text, tiny_checkpoint, tiny_config, tiny_weights
from tests.tiny_decoder import new_decoder, prompt_of, request_of, said

pytestmark = pytest.mark.usefixtures("one_thread")


def test_loaded_from_a_directory(tmp_path: Path) -> None:
    directory = tiny_checkpoint(tmp_path / "made")
    decoder = load_decoder(checkpoint=directory, device="cpu")
    info = decoder.info
    assert (info.name, info.device, info.adapter) == ("tiny", "cpu", None)
    assert info.hash == checkpoint_hash(directory)
    assert info.vocabulary_size == VOCABULARY_SIZE
    assert info.parameters == sum(
        weight.numel() for weight in tiny_weights(tiny_config()).values() if weight.dim() == 2
    )
    prompt = request_of(prompt_of(text(20, 9), text(9, 9)))
    assert said(decoder.decode(prompt)) == said(new_decoder().decode(prompt))


LOAD = """
import gc, sys
from pathlib import Path
from diffill.model.service import _load_decoder
print(gc.get_freeze_count(), _load_decoder(Path(sys.argv[1]), "cpu", lambda share: None).info.name)
print(gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


def test_garbage_is_collected_again_after_loading_but_not_among_what_was_loaded(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOAD, str(tiny_checkpoint(tmp_path / "tiny"))]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.stdout.splitlines() == ["0 tiny", "True True"], process.stderr


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="missing is not a directory"):
        load_decoder(checkpoint=tmp_path / "missing", device="cpu")
    with pytest.raises(ValueError, match=r"tokenizer\.json is missing"):
        load_decoder(checkpoint=tmp_path, device="cpu")


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    """Its ids would be looked up in rows that are not there, or mean something else."""
    directory = tiny_checkpoint(tmp_path / "made", config=tiny_config(vocabulary_size=VOCABULARY_SIZE + 7))
    with pytest.raises(ValueError, match=r"tokenizer\.json.*273.*280"):
        load_decoder(checkpoint=directory, device="cpu")


def test_device_by_name() -> None:
    assert choose_device("cpu")[0] == "cpu"
    with pytest.raises(ValueError, match="device: 'gpu' is not one of"):
        choose_device("gpu")
    for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not there:
            with pytest.raises(ValueError, match=f"^device: {name}"):
                choose_device(name)
