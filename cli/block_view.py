"""A block while it is denoised: as one line of plain text, or as a picture whose colours are the confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffill.model.request import Step, unpack_ids
from diffill.model.tokenizer import MASK, NUM_CONTROL_IDS, Tokenizer

if TYPE_CHECKING:
    from rich.text import Text

MASK_SIGN = "·"
END_SIGN = "■"
_COLOURS = ((0.9, "bold green"), (0.7, "green"), (0.4, "yellow"), (0.0, "red"))


def printable(text: str, *, keep: str = "") -> str:
    """`text` with every character that a terminal would act on written as an escape, those in `keep` aside."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def token_text(index: int, tokenizer: Tokenizer) -> str:
    """One token as it is shown: masks and the end of the middle as signs."""
    if index == MASK:
        return MASK_SIGN
    if index < NUM_CONTROL_IDS:
        return END_SIGN
    return printable(tokenizer.decode([index]))


def trace_line(step: Step, tokenizer: Tokenizer) -> str:
    """One step for `--trace`: forward pass, place in the answer, the block, the confidences."""
    ids = unpack_ids(step.tokens)
    block = "".join(token_text(index, tokenizer) for index in ids)
    confidence = " ".join(f"{value:.2f}" for value in step.confidence)
    return f"pass {step.forward_pass}, tokens {step.start}-{step.start + len(ids) - 1}: {block}  [{confidence}]"


class BlockView:
    """The answer so far: finished blocks, and the one in progress in colours.

    Feed it with `add`, show `picture`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._confidence: list[float] = []
        self._step: Step | None = None

    def add(self, step: Step) -> None:
        ids = unpack_ids(step.tokens)
        self._ids[step.start :] = ids
        self._confidence[step.start :] = [*step.confidence, *[0.0] * len(ids)][: len(ids)]
        self._step = step

    def picture(self) -> Text:
        from rich.text import Text

        picture = Text()
        for position, (index, confidence) in enumerate(zip(self._ids, self._confidence, strict=True)):
            colour = next(name for least, name in _COLOURS if confidence >= least)
            if index == MASK:
                picture.append(MASK_SIGN, style="dim")
            else:
                in_progress = self._step is not None and position >= self._step.start
                picture.append(self._shown(index), style=f"{colour} underline" if in_progress else colour)
        return picture

    def _shown(self, index: int) -> str:
        if index < NUM_CONTROL_IDS:
            return END_SIGN
        return printable(self._tokenizer.decode([index]), keep="\n\t")
