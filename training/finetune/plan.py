"""What a run would be trained on, found before any compute: files, edits, and how long it takes about."""

from __future__ import annotations

import datetime
import hashlib
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from diffill.model.config import ModelConfig
from diffill.model.tokenizer import Tokenizer

from ..corpus.benchmarks import BenchmarkWindows
from ..edit_examples import EditRowsConfig, edit_example
from ..edits import EditPair
from ..edits.change import split_lines
from ..examples import Example, ExampleConfig, examples_of, infill_example
from ..followers import followers_worth_starting
from ..lora import LoraConfig
from ..packing import Rows
from .cases import texts_of
from .edits import Mined, judged_edits, judged_lines, learned_edits
from .rehearsal import Rehearsal, rehearsal
from .repository import Repository
from .selection import Selection, select

CPU_TOKENS_PER_SECOND = 250.0
"""Of 135 million parameters on an idle core with AVX512-BF16; others are reckoned by their size."""
LONG = 5.0
"""Minutes from which a run is compiled, which takes one and halves the others, and shared out among processes."""
BYTES_OF_LIBRARIES, HOLES = 0.6e9, 1.75
"""What stands in memory beside tensors, and room between tensors that `memory.keep_freed_memory` leaves: measured."""
CPU_PARAMETERS = 135e6
TOKENS_OF_EXAMPLE = 250
"""On average."""
NOISY_LENGTH = 128
"""Noisy tokens behind each row."""
LEARNING_RATE, FULL_LEARNING_RATE = 2e-3, 1e-4
"""Of factors, which start from nothing, and of all weights, for a run of `MEASURED_TOKENS`."""
MEASURED_TOKENS = 300_000
"""Twenty minutes on one core: the length at which rates were compared."""
RATE_EXPONENT = 0.32
"""By which the best rate falls as the tokens of a run grow (found in pretraining: arXiv 2409.19913)."""


class FinetuneConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One adapter. Everything that decides what is learned; a run in a directory goes on under the same alone."""

    repository: Path
    base: Path
    """Checkpoint directory."""
    until: datetime.date | None = None
    """Commits from this day on only measure; without it the newest tenth does."""
    since: datetime.date | None = None
    """Edits of older commits are left out."""
    paths: tuple[str, ...] = ()
    """Patterns of the files that are taken, as in .gitignore; all without any."""
    epochs: int = 6
    """Passes over the repository, each with other holes."""
    minutes: float = 45.0
    """Wall clock of the training, over all its legs."""
    device: str = "cpu"
    row_length: int = 512
    rows_per_step: int = 2
    """Few: on a CPU the number of updates in the time that there is counts for more."""
    learning_rate: float | None = None
    """At its peak; None: by the length of the run, see `Plan.learning_rate`."""
    warmup_steps: int = 5
    lora: LoraConfig = LoraConfig()
    full: bool = False
    """All weights, in place of an adapter."""
    examples: ExampleConfig = ExampleConfig(left_to_right=0.1, characters_per_example=400)
    edit_share: float = 0.25
    """Share of an epoch's examples that are edits, at most; each epoch draws others."""
    rehearsal_share: float = 0.2
    """Share of the rows that hold code of others; see `rehearsal`."""
    processes: int | None = None
    """On a CPU, each with a core and a copy of the weights of its own; None: what the machine has room for."""
    compile: bool | None = None
    """See `TrainConfig.compile`; None: on a CPU that can, for a run of some length."""
    shard: bool = False
    """See `TrainConfig.shard`."""
    save_every: float = 300.0
    """Seconds; what is lost when a process is killed."""
    judged_rows: int = 8
    """Rows of later commits that measure, at most."""
    cases: Path | None = None
    """JSON of a `MeasureConfig`: what must not be forgotten, and must not be trained on."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "minutes", "rows_per_step", "save_every", "processes"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive")
        for name in ("edit_share", "rehearsal_share"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}: {getattr(self, name)} is not in [0, 1)")

    @property
    def rehearsed(self) -> float:
        """Rehearsed rows for each of the team's."""
        return self.rehearsal_share / (1.0 - self.rehearsal_share)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Files and edits that a configuration comes to."""

    config: FinetuneConfig
    repository: Repository
    selection: Selection
    learned: Mined
    judged: Mined
    rehearsal: Rehearsal

    @property
    def fingerprint(self) -> str:
        """Equal for runs that learn the same from the same."""
        config = msgspec.structs.replace(
            self.config, minutes=1.0, compile=None, processes=None, shard=False, save_every=1.0
        )
        decides = (
            msgspec.json.encode(config, enc_hook=str),
            self.repository.trained_to,
            self.repository.judged_to,
            [(document.path, document.text) for document in (*self.selection.documents, *self.rehearsal.documents)],
        )
        return hashlib.sha256(msgspec.msgpack.encode(decides)).hexdigest()

    def learned_examples(self, tokenizer: Tokenizer, epoch: int) -> list[Example]:
        """One epoch in random order: fresh holes in every file, and every edit."""
        generator = random.Random(f"{self.config.seed} {epoch}")
        made = [
            example
            for document in self.selection.documents
            for example in examples_of(document, tokenizer, self.config.examples, generator)
        ]
        most = self._edits_of_epoch(len(made))
        made += self._edit_examples(generator.sample(self.learned.pairs, most), tokenizer, generator)
        generator.shuffle(made)
        return made

    def rehearsed_rows(self, tokenizer: Tokenizer, epoch: int, team_rows: int) -> Rows:
        """Of code of others, their share beside so many rows of the team's."""
        config, generator = self.config, random.Random(f"rehearsal {self.config.seed} {epoch}")
        count = int(team_rows * config.rehearsed + generator.random())  # the share holds on the mean of few rows, too
        return self.rehearsal.rows(count, config.row_length, tokenizer, config.examples, generator)

    def judged_examples(self, tokenizer: Tokenizer) -> list[Example]:
        """Lines that later commits wrote, as holes, and their edits."""
        generator = random.Random(self.config.seed)
        made: list[Example] = []
        for file, start, end in judged_lines(self.repository, self.selection):
            lines = split_lines(file.text)
            at = sum(map(len, lines[:start]))
            example = infill_example(
                file.text, at, at + sum(map(len, lines[start:end])), tokenizer, self.config.examples, generator
            )
            made += [example] if example else []
        made += self._edit_examples(self.judged.pairs, tokenizer, generator)
        generator.shuffle(made)
        return made

    def estimate(self) -> Estimate:
        """From the number of examples; time for a CPU with nothing else to do."""
        config, processes, rows = self.config, 1 + self.followers(), self._rows()
        minutes = self._minutes_alone() / processes
        rows_each = -(-config.rows_per_step // processes)
        return Estimate(
            tokens=rows * self._row_tokens,
            steps=math.ceil(rows / (rows_each * processes)),
            minutes=min(minutes, config.minutes) if config.device == "cpu" else config.minutes,
            processes=processes,
            memory_gb=round(processes * self._bytes_of_process(rows_each) / 1e9, 1),
        )

    @property
    def learning_rate(self) -> float:
        """What was asked for; else what was measured, and the lower the more tokens beyond those the time allows."""
        if self.config.learning_rate is not None:
            return self.config.learning_rate
        tokens = float(self._rows() * self._row_tokens)
        if self.config.device == "cpu":
            tokens *= min(1.0, self.config.minutes * (1 + self.followers()) / self._minutes_alone())
        peak = FULL_LEARNING_RATE if self.config.full else LEARNING_RATE
        return peak * min(1.0, math.pow(MEASURED_TOKENS / tokens, RATE_EXPONENT))

    @property
    def is_long(self) -> bool:
        """On a CPU: whether what costs a minute at first is made up for."""
        return self.config.device == "cpu" and min(self._minutes_alone(), self.config.minutes) >= LONG

    def followers(self) -> int:
        """Processes to start beside this one."""
        if self.config.processes is not None:
            return self.config.processes - 1
        if not self.is_long:
            return 0
        return followers_worth_starting(self._bytes_of_process(-(-self.config.rows_per_step // 2)))

    @property
    def _row_tokens(self) -> int:
        return self.config.row_length + NOISY_LENGTH

    def _rows(self) -> int:
        config = self.config
        examples = sum(
            max(1, round(len(document.text) / config.examples.characters_per_example))
            for document in self.selection.documents
        )
        tokens = config.epochs * TOKENS_OF_EXAMPLE * (examples + self._edits_of_epoch(examples))
        return math.ceil(tokens / config.row_length * (1.0 + (config.rehearsed if self.rehearsal.documents else 0.0)))

    def _minutes_alone(self) -> float:
        parameters = self._parameters(ModelConfig.load(self.config.base))
        return self._rows() * self._row_tokens / (CPU_TOKENS_PER_SECOND * CPU_PARAMETERS / parameters) / 60

    def _parameters(self, model: ModelConfig) -> int:
        layer = model.hidden_size * (model.num_heads * model.head_size * 3 + 3 * model.intermediate_size)
        return model.vocabulary_size * model.hidden_size + model.num_layers * layer

    def _bytes_of_process(self, rows: int) -> float:
        model, tokens = ModelConfig.load(self.config.base), rows * self._row_tokens
        # fp32 as loaded, bf16 of the layers, and what a step keeps for its backward pass.
        activations = tokens * model.num_layers * (12 * model.hidden_size + 5 * model.intermediate_size) * 2
        # With all weights their gradients and both moments, too, and no second copy.
        return BYTES_OF_LIBRARIES + HOLES * ((16 if self.config.full else 6) * self._parameters(model) + activations)

    def _edits_of_epoch(self, holes: int) -> int:
        share = self.config.edit_share
        return min(len(self.learned.pairs), round(holes * share / (1.0 - share)))

    def _edit_examples(
        self, pairs: list[EditPair], tokenizer: Tokenizer, generator: random.Random
    ) -> Iterator[Example]:
        rows = EditRowsConfig(pairs=Path(), tokenizer=self.config.base, out=Path(), row_length=self.config.row_length)
        for pair in pairs:
            if (example := edit_example(pair, tokenizer, rows, generator)) is not None:
                yield example


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run is likely to need."""

    tokens: int
    steps: int
    minutes: float
    processes: int
    memory_gb: float


def plan(config: FinetuneConfig) -> Plan:
    """Read the repository; nothing is computed or written.

    Raises:
        ValueError: the repository cannot be trained on, or nothing of it may be; one line.
    """
    repository = Repository(config.repository, until=config.until)
    measured = BenchmarkWindows.of_texts(texts_of(config.cases))
    selection = select(repository, paths=config.paths, measured=measured)
    if not selection.documents:
        reasons = ", ".join(f"{reason} {count}" for reason, count in selection.reasons().most_common(4))
        raise ValueError(f"REPO: {config.repository} holds no file to train on ({reasons or 'it tracks none'})")
    return Plan(
        config=config,
        repository=repository,
        selection=selection,
        learned=learned_edits(repository, selection, since=config.since, seed=config.seed, measured=measured),
        judged=judged_edits(repository, selection),
        rehearsal=_rehearsal(config, selection, measured),
    )


def _rehearsal(config: FinetuneConfig, selection: Selection, measured: BenchmarkWindows) -> Rehearsal:
    """As much as all epochs take, if there is so much."""
    if not config.rehearsal_share:
        return Rehearsal()
    learned = BenchmarkWindows.of_texts(document.text for document in selection.documents)
    return rehearsal(config.epochs * config.rehearsed * selection.characters, kept_out=[measured, learned])


def edits_by_path(pairs: list[EditPair]) -> Counter[str]:
    return Counter(pair.source.partition(":")[2] for pair in pairs)
