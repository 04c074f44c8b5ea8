"""llama.cpp on the same weights at 8 bits, in this process, as a baseline."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffill.model.request import MAX_NEW_TOKENS, MAX_PROMPT_TOKENS, DecodeRequest, unpack_ids
from diffill.training.gguf_export import export_gguf

from .report import Sample

LLAMA_CPP = "llama.cpp"


class LlamaCpp:
    """Greedy decoding, one token a pass."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def answer(self, request: DecodeRequest) -> Sample:
        """Fill the span of a request, by the clock, its prompt read anew."""
        return self.decode(request, reuse=False)

    def decode(self, request: DecodeRequest, *, reuse: bool) -> Sample:
        """Fill the span of a request, by the clock.

        Args:
            reuse: keep what the last prompt has in common with this one.
        """
        began = time.perf_counter()
        timings = self.complete(request, reuse=reuse)["timings"]
        total_ms = 1e3 * (time.perf_counter() - began)
        count = timings["predicted_n"]
        return Sample(
            tokens=count, forward_passes=count, steps=count, decode_ms=timings["predicted_ms"], total_ms=total_ms
        )

    def complete(self, request: DecodeRequest, *, reuse: bool = False) -> dict[str, Any]:
        """llama.cpp's own answer: text and timings."""
        answer: dict[str, Any] = self._server.handle_completions(
            {
                "prompt": unpack_ids(request.prompt),
                "n_predict": request.max_tokens,
                "temperature": 0.0,
                "cache_prompt": reuse,
                "stop": ["\n"] if request.stop_at_line_end else [],
            }
        )
        return answer


@contextlib.contextmanager
def llama_cpp(checkpoint: Path, *, threads: int) -> Iterator[LlamaCpp]:
    """llama.cpp with the weights of a checkpoint, exported for as long as it takes to load them.

    Raises:
        ValueError: the package is not installed, or the checkpoint is broken; one line.
    """
    try:
        import gguf  # noqa: F401  (writes the file)
        import xllamacpp
    except ImportError:
        raise ValueError("llama-cpp: it needs an extra: pip install 'diffill[bench]'") from None
    with tempfile.TemporaryDirectory(prefix="diffill-bench-") as directory:
        file = Path(directory) / "model.gguf"
        export_gguf(checkpoint, file)
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(file)
        parameters.n_ctx = MAX_PROMPT_TOKENS // 4 + MAX_NEW_TOKENS
        parameters.n_parallel = 1
        parameters.n_gpu_layers = 0
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        parameters.verbosity = 0
        yield LlamaCpp(xllamacpp.Server(parameters))
