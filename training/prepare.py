"""A corpus to packed rows: documents to what the trainer reads, on all cores."""

from __future__ import annotations

import collections
import hashlib
import json
import random
from pathlib import Path

import msgspec

from diffill.model.tokenizer import Tokenizer

from .corpus import Document, read_documents
from .corpus.documents import INDEX_FILE
from .corpus.workers import Progress, run_all, worker_pool
from .examples import ExampleConfig, examples_of
from .packing import load_rows, pack, save_rows

REPORT_FILE = "report.json"
FILES_PER_SHARD = 400


class PrepareConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is packed, and how."""

    corpus: Path
    """A directory that `diffill corpus build` wrote."""
    tokenizer: Path
    """A checkpoint directory."""
    out: Path
    row_length: int = 512
    epochs: int = 1
    """Each epoch cuts other holes into the same files."""
    held_out: tuple[str, ...] = ()
    """Packages, by name, whose rows only measure."""
    examples: ExampleConfig = ExampleConfig()
    seed: int = 0


def prepare(config: PrepareConfig, *, on_progress: Progress = lambda stage, done, total: None) -> dict[str, object]:
    """Cut, tokenise and pack; returns the report that is also written beside the rows.

    Rows are written shard by shard; a shard that is already there is kept, so an interrupted run resumes.
    """
    train: list[Document] = []
    measured: list[Document] = []
    for document in read_documents(config.corpus):
        (measured if document.package.split(" ")[0] in config.held_out else train).append(document)
    if not train:
        raise ValueError(f"corpus: {config.corpus} holds no document to train on")
    random.Random(config.seed).shuffle(train)

    jobs = [
        (config, f"train-{epoch:02d}-{index:03d}", train[at : at + FILES_PER_SHARD], config.seed + 1000 * epoch + index)
        for epoch in range(config.epochs)
        for index, at in enumerate(range(0, len(train), FILES_PER_SHARD))
    ]
    jobs += [(config, "held-out", measured, config.seed)] if measured else []
    with worker_pool(None) as pool:
        tokens = sum(run_all(pool, _pack_shard, jobs, "pack", on_progress))
    report: dict[str, object] = {
        "corpus_sha256": hashlib.sha256((config.corpus / INDEX_FILE).read_bytes()).hexdigest(),
        "files": len(train),
        "characters": sum(len(source.text) for source in train),
        "held_out_files": len(measured),
        "tokens": tokens,
        "languages": dict(collections.Counter(source.language for source in train)),
    }
    (config.out / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return report


def _pack_shard(job: tuple[PrepareConfig, str, list[Document], int]) -> int:
    """Write one shard of rows; returns its tokens."""
    config, name, sources, seed = job
    path = config.out / name
    if not path.exists():
        generator = random.Random(seed)
        tokenizer = Tokenizer.load(config.tokenizer)
        examples = [
            example for source in sources for example in examples_of(source, tokenizer, config.examples, generator)
        ]
        generator.shuffle(examples)
        save_rows(path, pack(examples, config.row_length))
    rows = load_rows(path)
    return int((rows.document >= 0).sum())
