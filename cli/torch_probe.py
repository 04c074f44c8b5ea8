"""What torch sees here, and whether a checkpoint is whole: `python -m diffill.cli.torch_probe DIRECTORY DEVICE`.

A process of its own, so that a torch that aborts or a driver that hangs ends a line of `doctor` and not `doctor`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

PROBE_SECONDS = 120.0


class TorchReport(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    cuda: list[str]
    """Names of the CUDA devices that can be used."""
    mps: bool
    cpu_capability: str
    """The widest vector instructions that torch uses."""
    threads: int
    device: str
    """The device that the engine takes; empty when the wanted one is not there."""
    reason: str
    free_bytes: int
    """Memory that this device has left."""
    obstacle: str
    """Why plain torch has to compute the model on a CPU; empty where the native program does, or a GPU."""
    checkpoint_hash: str
    checkpoint_problem: str
    """Why the checkpoint cannot be loaded; empty when it can."""


def probe(checkpoint: Path, device: str) -> TorchReport:
    """Ask a new process.

    Raises:
        ValueError: torch cannot be used; the reason in one line.
    """
    try:
        result = subprocess.run(
            [sys.executable, "-m", "diffill.cli.torch_probe", str(checkpoint.absolute()), device],
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
            cwd=sys.prefix,  # `python -m` looks for modules in the working directory first, and ours holds none
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"torch did not answer within {PROBE_SECONDS:g} s") from None
    if result.returncode:
        lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(lines[-1] if lines else f"torch ended its process with status {result.returncode}")
    return msgspec.json.decode(result.stdout, type=TorchReport)


def _report(checkpoint: Path, wanted: str) -> TorchReport:
    import torch

    from diffill.model.checkpoint import checkpoint_hash, verify
    from diffill.model.config import ModelConfig
    from diffill.model.cpu import obstacle
    from diffill.model.device import choose_device, free_bytes

    try:
        device, reason = choose_device(wanted)
    except ValueError as error:
        device, reason = "", str(error).removeprefix("device: ")
    problem = digest = slower = ""
    try:
        slower = obstacle(ModelConfig.load(checkpoint)) if device == "cpu" else ""
        verify(checkpoint)
        digest = checkpoint_hash(checkpoint)
    except ValueError as error:
        problem = str(error)
    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return TorchReport(
        version=str(torch.__version__),
        cuda=cuda if torch.cuda.is_available() else [],
        mps=torch.backends.mps.is_available(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        device=device,
        reason=reason,
        free_bytes=free_bytes(device) if device else 0,
        obstacle=slower,
        checkpoint_hash=digest,
        checkpoint_problem=problem,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_report(Path(sys.argv[1]), sys.argv[2])))
