"""The suite `typing`: an engine process of its own, typed at in real time."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from diffill.model.client import EngineClient, EngineError, EngineSettings
from diffill.model.request import ModelInfo
from diffill.model.tokenizer import Tokenizer
from diffill.training.evaluation.holes import Hole

from .bar import bar
from .keystrokes import measure_typing
from .places import places
from .report import Row


def measure_replay(settings: EngineSettings, source: Path, count: int, seed: int) -> tuple[ModelInfo, list[Row]]:
    """`count` lines of `source` in every mode.

    Raises:
        ValueError: the checkpoint or the code is missing or broken; one line.
        EngineError: the engine does not start, or dies.
    """
    tokenizer = Tokenizer.load(settings.checkpoint)
    holes = places(source, count=count, seed=seed, tokenizer=tokenizer)
    # Its own engine: what somebody types meanwhile would be timed too, and would find the cache full of this.
    with tempfile.TemporaryDirectory(prefix="diffill-") as directory:
        return asyncio.run(_replay(replace(settings, directory=Path(directory)), holes, tokenizer, seed))


async def _replay(
    settings: EngineSettings, holes: Sequence[Hole], tokenizer: Tokenizer, seed: int
) -> tuple[ModelInfo, list[Row]]:
    client = EngineClient(settings)
    try:
        model = (await client.wait_ready()).model
        if model is None:
            raise EngineError("engine_dead", "engine: it is ready but names no model")
        return model, await measure_typing(bar(holes), model.modes, client=client, tokenizer=tokenizer, seed=seed)
    finally:
        with contextlib.suppress(EngineError):
            await client.stop()
        await client.close()
