"""Regular expressions that take time in proportion to the text, whatever the pattern: filters come from anyone, and run on the loop.

The pattern is parsed to an automaton (Thompson, "Regular Expression Search Algorithm", 1968) that is made deterministic as texts are read
(Cox, "Regular Expression Matching Can Be Simple And Fast", 2007). The syntax is the common part of RE2's
(https://github.com/google/re2/wiki/Syntax): literals, ``.``, classes, groups, ``|``, ``* + ? {m,n}``, ``^ $``, ``\\d \\w \\s`` and their
opposites, ``(?i)``, ``(?s)``. A pattern is found anywhere in the text unless it is anchored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

MAX_PATTERN: Final = 512
MAX_STATES: Final = 2000
"""Places in the automaton; ``(a{100}){100}`` has too many."""
MAX_SETS: Final = 500
"""Deterministic states kept; when there are more, all are dropped and made again as needed."""
MAX_DEPTH: Final = 50
MAX_REPEAT: Final = 1000

Test: TypeAlias = Callable[[str], bool]

_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}


class PatternError(Exception):
    """The pattern cannot be read, or is too large; the text says why."""


@dataclass(slots=True)
class _Place:
    """A place in the automaton: on a character that passes ``test``, go to ``after``; or go to all of ``free`` without one.

    ``anchor`` is "^" or "$": free, but only there.
    """

    test: Test | None = None
    after: int = -1
    free: list[int] = field(default_factory=list)
    anchor: str = ""


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Whether a text holds the pattern. Raises ``PatternError``."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"a pattern has at most {MAX_PATTERN} characters")
    places, start, end = _Reader(pattern).read()
    return _Searcher(places, start, end).search


class _Searcher:
    """The automaton, with the sets of places that texts have led to. ``None`` as a set means: found, whatever follows."""

    def __init__(self, places: list[_Place], start: int, end: int) -> None:
        self._places = places
        self._end = end
        self._opening = self._closure([start], at_start=True)
        self._anywhere = self._closure([start], at_start=False)
        self._steps: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def search(self, text: str) -> bool:
        current = self._opening
        for character in text:
            if self._end in current:
                return True
            step = self._steps.get((current, character))
            current = step if step is not None else self._step(current, character)
        return self._end in self._closure(current, at_start=not text, at_end=True)

    def _step(self, current: frozenset[int], character: str) -> frozenset[int]:
        if len(self._steps) >= MAX_SETS:
            self._steps.clear()
        after = [place.after for place in map(self._places.__getitem__, current) if place.test is not None and place.test(character)]
        reached = self._closure(after, at_start=False) | self._anywhere
        self._steps[current, character] = reached
        return reached

    def _closure(self, places: list[int] | frozenset[int], *, at_start: bool, at_end: bool = False) -> frozenset[int]:
        """All places that can be reached without a character."""
        reached: set[int] = set()
        waiting = list(places)
        while waiting:
            number = waiting.pop()
            if number in reached:
                continue
            reached.add(number)
            place = self._places[number]
            if (place.anchor == "^" and not at_start) or (place.anchor == "$" and not at_end):
                continue
            waiting += place.free
        return frozenset(reached)


class _Reader:
    """Reads a pattern into places. Each rule returns where its part begins and ends; the end has no way out yet."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._next = 0
        self._places: list[_Place] = []
        self._depth = 0
        self._fold = False
        self._dot_all = False

    def read(self) -> tuple[list[_Place], int, int]:
        start, end = self._alternatives()
        if self._next < len(self._pattern):
            raise PatternError("unexpected )")
        return self._places, start, end

    def _alternatives(self) -> tuple[int, int]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PatternError(f"groups nested deeper than {MAX_DEPTH}")
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        self._depth -= 1
        if len(parts) == 1:
            return parts[0]
        start, end = self._place(), self._place()
        for first, last in parts:
            self._places[start].free.append(first)
            self._places[last].free.append(end)
        return start, end

    def _sequence(self) -> tuple[int, int]:
        start = end = self._place()
        while self._next < len(self._pattern) and self._pattern[self._next] not in "|)":
            begun = self._next
            first, last = self._atom()
            first, last = self._repeated(begun, first, last)
            self._places[end].free.append(first)
            end = last
        return start, end

    def _repeated(self, begun: int, first: int, last: int) -> tuple[int, int]:
        least, most = self._counts()
        if (least, most) == (1, 1):
            return first, last
        after = self._next
        copies = [(first, last)]
        while len(copies) < (max(least, 1) if most is None else max(most, 1)):
            self._next = begun
            copies.append(self._atom())
        self._next = after
        self._take("?")  # laziness does not change whether a text matches
        if self._next < len(self._pattern) and self._pattern[self._next] in "*+?":
            raise PatternError("a repetition is repeated")
        start = end = self._place()
        for number, (one, other) in enumerate(copies):
            if number >= least:
                self._places[end].free.append(self._skip_to(copies))
            self._places[end].free.append(one)
            end = other
        out = self._skip_to(copies)
        self._places[end].free.append(out)
        if most is None:
            self._places[end].free.append(copies[-1][0])
        del self._skips[id(copies)]
        return start, out

    def _skip_to(self, copies: list[tuple[int, int]]) -> int:
        """The one place after all copies."""
        return self._skips.setdefault(id(copies), -1) if False else self._skip_place(copies)

    def _counts(self) -> tuple[int, int | None]:
        for sign, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return counts
        return (1, 1)
