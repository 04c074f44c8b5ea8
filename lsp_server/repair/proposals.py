"""What the model would write in a place: filled in blind, or revised with the instruction in sight; best first."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from diffill.model.code.brackets import Brackets
from diffill.model.code.span import Span, leading_space, line_start, width, with_line_feeds
from diffill.model.edit_prompt import MAX_ORIGINAL_TOKENS, edit_region
from diffill.model.request import MAX_NEW_TOKENS, DecodeRequest, Finish, Mode, pack_ids, unpack_ids
from diffill.model.tokenizer import Tokenizer

from ..completion import Engine, sent_span
from ..edits import insertion
from ..prompt import build_prompt
from .places import Place, import_place, import_spot

_LINE_END = re.compile(r"\r\n|\r|\n")
_REST_OF_EMPTY_LINE = re.compile(r"[ \t]*(?:\r\n|\r|\n)")
_SPARE_TOKENS = 16
"""An answer may be so much longer than what it replaces."""
Way = Literal["fill", "revise", "import"]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Replace the characters from `start` to `end` by `text`."""

    start: int
    end: int
    text: str
    score: float
    """Mean log-probability of the answer's tokens."""
    tokens: int
    way: Way


@dataclass(frozen=True, kw_only=True)
class Model:
    """Who is asked: an engine, its tokenizer, and the way it decodes."""

    engine: Engine
    tokenizer: Tokenizer
    mode: Mode = "verify"
    guided: bool = True
    """Answers that would break the syntax around them are mended in the engine."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """One answer as text."""

    text: str
    finish: Finish
    score: float
    tokens: int

    def at(self, start: int, end: int, text: str, way: Way) -> Proposal:
        """As a proposal that writes `text`, which is this answer made to fit."""
        return Proposal(start=start, end=end, text=text, score=self.score, tokens=self.tokens, way=way)


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Asks the model about one text."""

    text: str
    model: Model
    language: str = ""

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
            language=self.language,
            indentation=width(leading_space(before)),
        )
        old = self.text[place.start : place.end]
        answers = await self._fill(
            span.prefix,
            span.suffix,
            candidates=candidates,
            max_tokens=len(self.model.tokenizer.encode(old)) + _SPARE_TOKENS,
            stop_at_line_end=span.stop_at_line_end,
            span=sent_span(span),
        )
        return self._better_than_what_is_there(
            answer.at(place.start, place.end, insertion(answer.text, span, None, finish=answer.finish), "fill")
            for answer in answers
        )

    async def revise(self, place: Place, instruction: str, *, candidates: int = 1) -> list[Proposal]:
        """Write whole lines anew with the old ones and an instruction in sight; nothing when they are too many.

        Raises:
            EngineError: the engine cannot answer.
        """
        first, last = _line_number(self.text, place.start), _line_number(self.text, place.end)
        try:
            prompt = edit_region(with_line_feeds(self.text), first, last).prompt(instruction, self.model.tokenizer)
        except ValueError:  # longer than MAX_ORIGINAL_TOKENS, or the empty line behind the last line end
            return []
        answers = await self._decode(
            DecodeRequest(
                prompt=pack_ids(prompt.ids),
                mode=self.model.mode,
                max_tokens=min(len(prompt.draft), MAX_ORIGINAL_TOKENS) * 5 // 4 + 2 * _SPARE_TOKENS,
                candidates=candidates,
                draft=pack_ids(prompt.draft),
                priority="repair",
            )
        )
        old = self.text[place.start : place.end]
        end = match.group() if (match := _LINE_END.search(old) or _LINE_END.search(self.text)) else "\n"
        return self._better_than_what_is_there(
            answer.at(
                place.start,
                place.end,
                answer.text.split("\ufffd")[0].removesuffix("\n").replace("\n", end),
                "revise",
            )
            for answer in answers
            if answer.finish != "length"  # half a region is no repair
        )

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
            for answer in await self._fill(before + opening, "\n\n\n" + need, candidates=candidates):
                line = opening + answer.text.split("\n")[0].strip() + "\n"
                spot = import_spot(self.text, line, start)
                proposals.append(answer.at(spot, spot, line, "import"))
        return proposals

    async def argument(self, place: Place) -> str:
        """One more argument before the closing bracket at `place`, with its comma; empty when the model gives none.

        Raises:
            EngineError: the engine cannot answer.
        """
        before = self.text[: place.start].rstrip(" \t")
        comma = "" if before.endswith(("(", ",")) else ","
        opening = comma + " " * (not before.endswith("("))
        (best, *_) = await self._fill(before + opening, self.text[place.end :])
        argument = _first_argument(best.text.split("\n")[0])
        return opening + argument if argument else ""

    def _better_than_what_is_there(self, proposals: Iterable[Proposal]) -> list[Proposal]:
        """The answers that the model puts before the present text."""
        better: list[Proposal] = []
        for proposal in map(self._with_its_line, proposals):
            if proposal.text == self.text[proposal.start : proposal.end]:
                break
            if proposal.text not in (known.text for known in better):
                better.append(proposal)
        return better

    def _with_its_line(self, proposal: Proposal) -> Proposal:
        """A proposal that leaves nothing of a line takes the line away too."""
        start = line_start(self.text, proposal.start)
        is_alone = not self.text[start : proposal.start].strip()
        rest = _REST_OF_EMPTY_LINE.match(self.text, proposal.end)
        is_deletion = not proposal.text.strip() and self.text[proposal.start : proposal.end].strip()
        if is_deletion and is_alone and rest:
            return dataclasses.replace(proposal, start=start, end=rest.end(), text="")
        return proposal

    async def _fill(
        self,
        prefix: str,
        suffix: str,
        *,
        candidates: int = 1,
        max_tokens: int = _SPARE_TOKENS,
        stop_at_line_end: bool = True,
        span: Span | None = None,
    ) -> list[_Answer]:
        """What belongs between `prefix` and `suffix`, in the prompt of an inline completion; best first."""
        prompt = build_prompt(prefix, suffix, self.model.tokenizer)
        answers = await self._decode(
            DecodeRequest(
                prompt=pack_ids(prompt.ids),
                mode=self.model.mode,
                max_tokens=min(max_tokens, MAX_NEW_TOKENS),
                stop_at_line_end=stop_at_line_end,
                starts_with_space=prompt.cut.space,
                span=span,
                guided=span is not None and self.model.guided,
                candidates=candidates,
                priority="repair",
            )
        )
        return [dataclasses.replace(answer, text=prompt.cut.answer(answer.text)) for answer in answers]

    async def _decode(self, request: DecodeRequest) -> list[_Answer]:
        result = await self.model.engine.decode(request)
        return [
            _Answer(
                text=self.model.tokenizer.decode(unpack_ids(answer.tokens)),
                finish=answer.finish,
                score=answer.score,
                tokens=len(answer.tokens) // 4,
            )
            for answer in result.answers()
        ]


def _first_argument(text: str) -> str:
    """What of `text` stands before the first comma or closing bracket that belongs to the call around it."""
    brackets = Brackets("")
    for index, character in enumerate(text):
        closes = brackets.feed(character)
        if (closes and brackets.unmatched) or (character == "," and not brackets.open):
            return text[:index].strip()
    return text.strip()


def _line_number(text: str, offset: int) -> int:
    """1-based."""
    return len(_LINE_END.findall(text, 0, offset)) + 1
