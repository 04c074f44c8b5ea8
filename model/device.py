"""Which device decodes, and why."""

from __future__ import annotations

import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(wanted: str) -> tuple[str, str]:
    """The device for `wanted`, and the reason in half a sentence.

    Raises:
        ValueError: the name is unknown, or the device is not there.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "auto":
        if cuda:
            return "cuda", "a CUDA GPU was found"
        if mps:
            return "mps", "an Apple GPU was found"
        return "cpu", "no GPU was found"
    if wanted not in DEVICES:
        raise ValueError(f"device: {wanted!r} is not one of {', '.join(DEVICES)}")
    if (wanted == "cuda" and not cuda) or (wanted == "mps" and not mps):
        raise ValueError(f"device: {wanted} was asked for, but torch finds none here")
    return wanted, "it was asked for"
