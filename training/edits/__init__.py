"""Edit data: one region of whole lines before and after a change, from histories, releases and injected faults."""

from .pair import EditPair
from .shards import read_pairs

__all__ = ["EditPair", "read_pairs"]
