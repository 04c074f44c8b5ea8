"""Brackets and quotes of a piece of code, counted without a grammar: good enough to tell what is still open."""

from __future__ import annotations

CLOSERS = {"(": ")", "[": "]", "{": "}"}
_OPENERS = {closer: opener for opener, closer in CLOSERS.items()}
_QUOTES = "\"'`"


class Brackets:
    """What a text leaves open, and what it closes that it did not open."""

    def __init__(self, text: str = "") -> None:
        self.open: list[str] = []
        """Opening brackets not closed yet, outermost first."""
        self.unmatched = 0
        """Closing brackets that nothing before them had opened."""
        self._quote = ""
        self._escaped = False
        for character in text:
            self.feed(character)

    def feed(self, character: str) -> bool:
        """Take one more character. True when it closes a bracket, opened here or not."""
        if self._quote:
            if self._escaped:
                self._escaped = False
            elif character == "\\":
                self._escaped = True
            elif character == self._quote or (character == "\n" and self._quote != "`"):
                self._quote = ""
            return False
        if character in _QUOTES:
            self._quote = character
        elif character in CLOSERS:
            self.open.append(character)
        elif character in _OPENERS:
            if self.open and self.open[-1] == _OPENERS[character]:
                self.open.pop()
            else:
                self.unmatched += 1
            return True
        return False

    @property
    def imbalance(self) -> int:
        """How far from balanced: 0 when every bracket and quote has its partner."""
        return len(self.open) + self.unmatched + bool(self._quote)

    @property
    def closing(self) -> str:
        """The text that closes what is open."""
        return self._quote + "".join(CLOSERS[opener] for opener in reversed(self.open))
