"""Which device decodes, and why."""

from __future__ import annotations

import psutil
import torch

DEVICE_FAULTS = (torch.AcceleratorError,)
"""What torch raises when a device is gone or in a state that no more can be computed with."""
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


def free_bytes(device: str) -> int:
    """Memory that a device, as `choose_device` names it, has left."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def fault(error: BaseException) -> str:
    """The first line of what a device or its memory says."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
