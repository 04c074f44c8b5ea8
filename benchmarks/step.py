"""Time of a step, of a prompt and of whole answers on this CPU: the native program, and with `--twin` its plain twin.

    python -m benchmarks.step [--twin] [--json] > benchmarks/step.json

In milliseconds: the median of the processor's time on one core, and the best time by the clock on all cores. A step is
its forward pass and the decision on all of its rows. Rates of whole answers are by the clock.
"""

from __future__ import annotations

import argparse
import functools
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from benchmarks.report import show
from diffill.model.checkpoint import load_checkpoint
from diffill.model.config import DEFAULT_CHECKPOINT, ModelConfig
from diffill.model.decoder_loading import load_decoder
from diffill.model.engine import BlockDecoder
from diffill.model.fim import fim_prompt
from diffill.model.loading import build_plain_network
from diffill.model.network import PREFILL_TOKENS, Network, Part
from diffill.model.request import DecodeRequest, Mode, pack_ids
from diffill.model.threads import available_cores
from diffill.model.tokenizer import Tokenizer

SAMPLES = Path(__file__).parent.parent / "cli" / "samples"
ROUNDS = 7
ROWS, CONTEXTS = (1, 4, 8, 16), (256, 700)
MODES: tuple[Mode, ...] = ("ar", "verify", "diffusion")


def plain_twin() -> Network:
    return build_plain_network(*load_checkpoint(DEFAULT_CHECKPOINT), device=torch.device("cpu"))


def read(network: Network, text: list[int]) -> Part:
    """A prompt from nothing; the part goes on behind it."""
    cache = network.new_pool().open([])
    for at in range(0, len(text), PREFILL_TOKENS):
        piece = text[at : at + PREFILL_TOKENS]
        network.step(cache, piece)
        cache.keep(piece)
    return Part(cache, ())


def measured(network: Network, work: Callable[[], object]) -> dict[str, float]:
    """Processor time on one core, which others on the machine hardly change, and the best time by the clock on all."""
    network.use_cores(1)
    began = time.thread_time()
    work()
    processor = 1e3 * (time.thread_time() - began)
    network.use_cores(available_cores())
    began = time.perf_counter()
    work()
    return {"one_core_processor": processor, "all_cores_clock": 1e3 * (time.perf_counter() - began)}


def best(times: list[dict[str, float]]) -> dict[str, float]:
    return {
        "one_core_processor": round(statistics.median(each["one_core_processor"] for each in times), 2),
        "all_cores_clock": round(min(each["all_cores_clock"] for each in times), 2),
    }


def steps(networks: dict[str, Network], text: list[int]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for context in CONTEXTS:
        caches = {name: read(network, text[:context]).cache for name, network in networks.items()}
        for count in ROWS:
            times: dict[str, list[dict[str, float]]] = {name: [] for name in networks}
            for _ in range(ROUNDS):
                for name, network in networks.items():
                    step = functools.partial(network.step, caches[name], text[:count])
                    times[name].append(measured(network, lambda n=network, s=step: n.predict(s())))
            rows.append({"context": context, "rows": count} | {name: best(each) for name, each in times.items()})
    return rows


def prompts(networks: dict[str, Network], text: list[int]) -> list[dict[str, object]]:
    return [
        {"tokens": count}
        | {
            name: best([measured(network, functools.partial(read, network, text[:count]))])
            for name, network in networks.items()
        }
        for count in (300, 700)
    ]


def answers(decoder: BlockDecoder, tokenizer: Tokenizer) -> list[dict[str, object]]:
    """Lines of the sample files that were taken out of their middle, by each mode in turn."""
    source = [
        path.read_text("utf-8").splitlines(keepends=True)
        for path in sorted(SAMPLES.glob("*.*"))
        if path.suffix != ".json"
    ]
    spent = {mode: [0, 0, 0.0] for mode in MODES}
    for lines in source:
        for at in range(10, len(lines) - 5, 24):
            before, after = "".join(lines[:at]), "".join(lines[at + 2 :])
            prompt = fim_prompt(tokenizer.encode(before), tokenizer.encode(after))
            for mode in MODES:
                request = DecodeRequest(prompt=pack_ids(prompt), mode=mode, max_tokens=32)
                result = decoder.decode(request)
                spent[mode][0] += len(result.tokens) // 4
                spent[mode][1] += result.forward_passes
                spent[mode][2] += result.denoise_ms
    return [
        {
            "mode": mode,
            "tokens": tokens,
            "tokens_per_second": 1e3 * tokens / ms,
            "tokens_per_forward": tokens / passes,
            "step_ms": ms / passes,
        }
        for mode, (tokens, passes, ms) in spent.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--twin", action="store_true", help="The plain twin too.")
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output.")
    arguments = parser.parse_args()
    process = psutil.Process()
    before = process.memory_info().rss
    loads = []
    for _ in range(2):
        began = time.perf_counter()
        decoder = load_decoder(checkpoint=DEFAULT_CHECKPOINT, device="cpu")
        loads.append(time.perf_counter() - began)
    tokenizer = Tokenizer.load(DEFAULT_CHECKPOINT)
    spoken = answers(decoder, tokenizer)
    resident = process.memory_info().rss
    networks = {"native": decoder.network}
    if arguments.twin:
        networks["plain"] = plain_twin()
    for network in networks.values():
        network.use_cores(available_cores())
    text = tokenizer.encode("".join(path.read_text("utf-8") for path in sorted(SAMPLES.glob("*.py"))))
    text = (text * 4)[: max(CONTEXTS) + 1]
    report: dict[str, object] = {
        "machine": f"{platform.machine()}, {available_cores()} cores, torch {torch.__version__}",
        "model": ModelConfig.load(DEFAULT_CHECKPOINT).name,
        "load_s": {"first": loads[0], "second": loads[1]},
        "resident_mb": {"after_imports": before >> 20, "after_answers": resident >> 20},
        "busy_share_of_others": psutil.cpu_percent(0.5) / 100,
        "steps_ms": steps(networks, text),
        "prompts_ms": prompts(networks, text),
        "modes": spoken,
    }
    show(report, as_json=arguments.json)


if __name__ == "__main__":
    main()
