"""`ar`: one token a forward pass from the causal head. The baseline, and what `verify` must reproduce."""

from __future__ import annotations

from math import exp

from ..cache import KVCache
from ..network import Network, Part
from .answer import Answer, Passes, Snapshot


def decode_autoregressive(network: Network, cache: KVCache, last: int, answer: Answer) -> Passes[None]:
    """Greedy decoding."""
    token = last
    while answer.finish is None:
        states = yield Part(cache, [token])
        cache.keep([token])
        best = network.predict(states, answer.refused_next, answer.choices)
        token = best.tokens[0]
        start = len(answer.tokens)
        answer.place(token, best.log_probability[0], best.choices(0))
        answer.rounds += 1
        yield Snapshot(start, (token,), (exp(best.log_probability[0]),))
