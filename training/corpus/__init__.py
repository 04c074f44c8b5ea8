"""Package archives to a corpus: pinned, licensed, filtered, without duplicates, in shards whose content is hashed."""

from __future__ import annotations

from .documents import Document, read_documents

__all__ = ["Document", "read_documents"]
