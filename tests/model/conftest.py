"""Numeric tests run on one thread: the models are tiny, and threads that wait for busy cores only slow them down."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
