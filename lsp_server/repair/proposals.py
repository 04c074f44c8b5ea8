"""What the model would write in a place: filled in blind, or revised with the instruction in sight; best first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from diffill.model.edit_prompt import MAX_ORIGINAL_TOKENS, edit_region
from diffill.model.request import (
    MAX_NEW_TOKENS,
    DecodeRequest,
    DecodeResult,
    Finish,
    Mode,
    Priority,
    pack_ids,
    unpack_ids,
)
from diffill.model.tokenizer import Tokenizer

from ..brackets import Brackets
from ..completion import Engine
from ..edits import insertion
from ..prompt import build_prompt, with_line_feeds
from ..span import Span, leading_space, line_start, width
from .places import Place, import_place, import_spot

_LINE_END = re.compile(r"\r\n|\r|\n")
_SPARE_TOKENS = 16
"""An answer may be so much longer than what it replaces."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Replace the characters from `start` to `end` by `text`."""

    start: int
    end: int
    text: str
    score: float
    """Mean log-probability of the answer's tokens."""
    tokens: int
    way: Literal["fill", "revise", "import"]


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Asks the engine for one document."""

    text: str
    engine: Engine
    tokenizer: Tokenizer
    mode: Mode = "verify"
    priority: Priority = "repair"

    async def fill(self, place: Place, *, candidates: int = 1) -> list[Proposal]:
        """Take the place out and fill the hole: what is there is not seen, so it is not copied either.

        Raises:
            EngineError: the engine cannot answer.
        """
        before = self.text[line_start(self.text, place.start) : place.start]
        span = Span(
            kind=place.kind,
            prefix=self.text[: place.start],
            suffix=self.text[place.end :],
            indentation=width(leading_space(before)),
        )
        prompt = build_prompt(span.prefix, span.suffix, self.tokenizer)
        old = self.text[place.start : place.end]
        result = await self._decode(
            prompt.ids,
            candidates=candidates,
            max_tokens=len(self.tokenizer.encode(old)) + _SPARE_TOKENS,
            stop_at_line_end=place.kind == "line",
            starts_with_space=prompt.cut.space,
        )
        proposals = []
        for tokens, score, finish in _answers(result):
            answer = prompt.cut.answer(self.tokenizer.decode(unpack_ids(tokens)))
            text = insertion(answer, span, None, finish=finish)
            proposals.append(
                Proposal(start=place.start, end=place.end, text=text, score=score, tokens=len(tokens) // 4, way="fill")
            )
        return self._better_than_what_is_there(proposals)

    async def revise(self, place: Place, instruction: str, *, candidates: int = 1) -> list[Proposal]:
        """Write whole lines anew with the old ones and an instruction in sight; nothing when they are too many.

        Raises:
            EngineError: the engine cannot answer.
        """
        first, last = _line_number(self.text, place.start), _line_number(self.text, place.end)
        try:
            prompt = edit_region(with_line_feeds(self.text), first, last).prompt(instruction, self.tokenizer)
        except ValueError:  # longer than MAX_ORIGINAL_TOKENS, or the empty line behind the last line end
            return []
        result = await self._decode(
            prompt.ids,
            candidates=candidates,
            max_tokens=min(len(prompt.draft), MAX_ORIGINAL_TOKENS) * 5 // 4 + 2 * _SPARE_TOKENS,
            draft=prompt.draft,
        )
        old = self.text[place.start : place.end]
        end = match.group() if (match := _LINE_END.search(old) or _LINE_END.search(self.text)) else "\n"
        proposals = []
        for tokens, score, finish in _answers(result):
            if finish == "length":
                continue  # half a region is no repair
            answer = self.tokenizer.decode(unpack_ids(tokens)).split("\ufffd")[0].removesuffix("\n")
            proposals.append(
                Proposal(
                    start=place.start,
                    end=place.end,
                    text=answer.replace("\n", end),
                    score=score,
                    tokens=len(tokens) // 4,
                    way="revise",
                )
            )
        return self._better_than_what_is_there(proposals)

    async def import_line(self, start: int, *, candidates: int = 1) -> list[Proposal]:
        """Import lines, below the file's own, for what stands at `start`.

        Raises:
            EngineError: the engine cannot answer.
        """
        place = import_place(self.text, start)
        if place is None:
            return []
        before, need = place
        proposals = []
        for opening in ("import ", "from "):
            prompt = build_prompt(before + opening, "\n\n\n" + need, self.tokenizer)
            result = await self._decode(
                prompt.ids,
                candidates=candidates,
                max_tokens=_SPARE_TOKENS,
                stop_at_line_end=True,
                starts_with_space=prompt.cut.space,
            )
            for tokens, score, _ in _answers(result):
                answer = prompt.cut.answer(self.tokenizer.decode(unpack_ids(tokens))).split("\n")[0].strip()
                text = opening + answer + "\n"
                spot = import_spot(self.text, text, start)
                proposals.append(
                    Proposal(
                        start=spot,
                        end=spot,
                        text=text,
                        score=score,
                        tokens=len(tokens) // 4,
                        way="import",
                    )
                )
        return proposals

    async def argument(self, place: Place) -> str:
        """One more argument before the closing bracket at `place`, with its comma; empty when the model gives none.

        Raises:
            EngineError: the engine cannot answer.
        """
        before = self.text[: place.start].rstrip(" \t")
        comma = "" if before.endswith(("(", ",")) else ","
        prompt = build_prompt(before + comma + " " * (not before.endswith("(")), self.text[place.end :], self.tokenizer)
        result = await self._decode(
            prompt.ids,
            candidates=1,
            max_tokens=_SPARE_TOKENS,
            stop_at_line_end=True,
            starts_with_space=prompt.cut.space,
        )
        answer = prompt.cut.answer(self.tokenizer.decode(unpack_ids(result.tokens))).split("\n")[0]
        brackets = Brackets("")
        for index, character in enumerate(answer):
            closes = brackets.feed(character)
            if (closes and brackets.unmatched) or (character == "," and not brackets.open):
                answer = answer[:index]
                break
        argument = answer.strip()
        return f"{comma}{' ' * (not before.endswith('('))}{argument}" if argument else ""

    def _better_than_what_is_there(self, proposals: list[Proposal]) -> list[Proposal]:
        """The answers that the model puts before the present text."""
        better: list[Proposal] = []
        for proposal in proposals:
            if proposal.text == self.text[proposal.start : proposal.end]:
                break
            if proposal.text not in (known.text for known in better):
                better.append(proposal)
        return better

    async def _decode(
        self,
        prompt: list[int],
        *,
        candidates: int,
        max_tokens: int,
        stop_at_line_end: bool = False,
        starts_with_space: bool = False,
        draft: list[int] | None = None,
    ) -> DecodeResult:
        return await self.engine.decode(
            DecodeRequest(
                prompt=pack_ids(prompt),
                mode=self.mode,
                max_tokens=min(max_tokens, MAX_NEW_TOKENS),
                stop_at_line_end=stop_at_line_end,
                starts_with_space=starts_with_space,
                candidates=candidates,
                draft=pack_ids(draft or ()),
                priority=self.priority,
            )
        )


def _answers(result: DecodeResult) -> list[tuple[bytes, float, Finish]]:
    """All answers of a result, best first."""
    others = [(other.tokens, other.score, other.finish) for other in result.alternatives]
    return [(result.tokens, result.score, result.finish), *others]


def _line_number(text: str, offset: int) -> int:
    """1-based."""
    return len(_LINE_END.findall(text, 0, offset)) + 1
