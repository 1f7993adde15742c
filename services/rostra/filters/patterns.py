"""Regular expressions that take time in proportion to the text, whatever the pattern: filters come from anyone, and run on the loop.

A pattern is read to an automaton (Thompson, "Regular Expression Search Algorithm", 1968) that is made deterministic as texts are read
(Cox, "Regular Expression Matching Can Be Simple And Fast", 2007). The syntax is the common part of RE2's
(https://github.com/google/re2/wiki/Syntax): literals, ``.``, classes, groups, ``|``, ``* + ? {m,n}``, ``^ $``, ``\\d \\w \\s`` and their
opposites, named classes (``[[:alpha:]]``), and ``(?i)`` or ``(?s)`` in front. A pattern is found anywhere in the text unless it is
anchored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

MAX_PATTERN: Final = 512
MAX_PLACES: Final = 512
"""Places in the automaton: ``(a{100}){100}`` has too many."""
MAX_STEPS: Final = 2000
"""Deterministic steps kept of one pattern; when there are more, all are dropped and made again as needed."""
MAX_PATTERNS: Final = 64
"""Patterns kept, each of which may come to take half a MiB."""
MAX_DEPTH: Final = 50

Test: TypeAlias = Callable[[str], bool]


class PatternError(Exception):
    """The pattern cannot be read, or is too large; the text says why."""


@dataclass(frozen=True, slots=True)
class Character:
    """One character that passes."""

    test: Test


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after another."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The part so many times; ``most`` None is any number."""

    part: Node
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Anchor:
    """The beginning ("^") or the end ("$") of the text."""

    sign: str


Node: TypeAlias = Character | Sequence | Choice | Repeat | Anchor


@lru_cache(maxsize=MAX_PATTERNS)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Whether a text holds the pattern. Raises ``PatternError``. Ask again rather than keep it: what it has learned takes memory."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"a pattern has at most {MAX_PATTERN} characters")
    return _Automaton(_Reader(pattern).read()).search


@dataclass(slots=True)
class _Place:
    """On a character that passes ``test``, go to ``after``; go to all of ``free`` without one, at an ``anchor`` only there."""

    test: Test | None = None
    after: int = -1
    free: list[int] = field(default_factory=list)
    anchor: str = ""


class _Automaton:
    """Place 0 is the end. A state is the set of places that a text has led to."""

    def __init__(self, node: Node) -> None:
        self._places = [_Place()]
        start = self._build(node, 0)
        self._opening = self._closure([start], at_start=True)
        self._anywhere = self._closure([start], at_start=False)
        self._steps: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def search(self, text: str) -> bool:
        state = self._opening
        for character in text:
            if 0 in state:
                return True
            after = self._steps.get((state, character))
            state = self._step(state, character) if after is None else after
        return 0 in state or 0 in self._closure(state, at_start=not text, at_end=True)

    def _step(self, state: frozenset[int], character: str) -> frozenset[int]:
        if len(self._steps) >= MAX_STEPS:
            self._steps.clear()
        places = (self._places[number] for number in state)
        after = self._closure((place.after for place in places if place.test is not None and place.test(character)), at_start=False)
        self._steps[state, character] = after = after | self._anywhere
        return after

    def _closure(self, places: Iterable[int], *, at_start: bool, at_end: bool = False) -> frozenset[int]:
        """All places that can be reached without a character."""
        reached: set[int] = set()
        waiting = list(places)
        while waiting:
            number = waiting.pop()
            place = self._places[number]
            if number not in reached:
                reached.add(number)
                if not place.anchor or (at_start if place.anchor == "^" else at_end):
                    waiting += place.free
        return frozenset(reached)

    def _place(self, place: _Place) -> int:
        if len(self._places) >= MAX_PLACES:
            raise PatternError("the pattern is too large")
        self._places.append(place)
        return len(self._places) - 1

    def _build(self, node: Node, after: int) -> int:
        """The place where ``node`` begins, when ``after`` is where it ends."""
        match node:
            case Character(test):
                return self._place(_Place(test, after))
            case Anchor(sign):
                return self._place(_Place(free=[after], anchor=sign))
            case Sequence(parts):
                for part in reversed(parts):
                    after = self._build(part, after)
                return after
            case Choice(parts):
                return self._place(_Place(free=[self._build(part, after) for part in parts]))
            case Repeat(part, least, most):
                entry = self._build_optional(part, None if most is None else most - least, after)
                for _ in range(least):
                    entry = self._build(part, entry)
                return entry

    def _build_optional(self, part: Node, most: int | None, after: int) -> int:
        if most is None:
            loop = _Place(free=[after])
            entry = self._place(loop)
            loop.free.append(self._build(part, entry))
            return entry
        entry = after
        for _ in range(most):
            entry = self._place(_Place(free=[self._build(part, entry), after]))
        return entry


_COUNTS: Final = re.compile(r"([*+?])|\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\}")
_FLAGS: Final = re.compile(r"\(\?([is]+)\)")
_CLASSES: Final[dict[str, Test]] = {
    "d": lambda character: "0" <= character <= "9",
    "w": lambda character: character.isascii() and (character.isalnum() or character == "_"),
    "s": lambda character: character in "\t\n\f\r ",
}
_NAMED: Final = {
    "alnum": r"[0-9A-Za-z]",
    "alpha": r"[A-Za-z]",
    "ascii": r"[\x00-\x7f]",
    "blank": r"[\t ]",
    "cntrl": r"[\x00-\x1f\x7f]",
    "digit": r"[0-9]",
    "graph": r"[!-~]",
    "lower": r"[a-z]",
    "print": r"[ -~]",
    "punct": r"[!-/:-@\[-`{-~]",
    "space": r"[\t\n\v\f\r ]",
    "upper": r"[A-Z]",
    "word": r"[0-9A-Za-z_]",
    "xdigit": r"[0-9A-Fa-f]",
}
"""Of ASCII, as in RE2."""
_NAME: Final = re.compile(r"\[:(\^?)([a-z]+):\]")
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}


def _not(test: Test) -> Test:
    return lambda character: not test(character)


class _Reader:
    """Recursive descent over the pattern."""

    def __init__(self, pattern: str) -> None:
        flags = _FLAGS.match(pattern)
        self._ignore_case = flags is not None and "i" in flags[1]
        self._dot_is_all = flags is not None and "s" in flags[1]
        self._pattern = pattern
        self._next = flags.end() if flags is not None else 0
        self._depth = 0

    def read(self) -> Node:
        node = self._choice()
        if self._next < len(self._pattern):
            raise PatternError("unexpected ) in the pattern")
        return node

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._next < len(self._pattern) and self._pattern[self._next] not in "|)":
            parts.append(self._repeated(self._atom()))
        return Sequence(tuple(parts))

    def _repeated(self, part: Node) -> Node:
        found = _COUNTS.match(self._pattern, self._next)
        if found is None:
            return part
        self._next = found.end()
        self._take("?")  # laziness does not change whether a text holds the pattern
        if _COUNTS.match(self._pattern, self._next):
            raise PatternError("a repetition in the pattern is repeated")
        if found[1]:
            return Repeat(part, 1 if found[1] == "+" else 0, 1 if found[1] == "?" else None)
        least = int(found[2])
        most = int(found[4]) if found[4] else None if found[3] else least
        if most is not None and most < least:
            raise PatternError("a repetition in the pattern ends before it begins")
        return Repeat(part, least, most)

    def _atom(self) -> Node:
        character = self._character()
        match character:
            case "(":
                return self._group()
            case "[":
                return Character(self._class())
            case ".":
                return Character((lambda _: True) if self._dot_is_all else (lambda found: found != "\n"))
            case "^" | "$":
                return Anchor(character)
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise PatternError(f"nothing to repeat before {character} in the pattern")
            case _:
                return Character(self._literal(character))

    def _group(self) -> Node:
        if self._take("?") and not self._take(":"):
            if not self._take("P<"):
                raise PatternError("this kind of group is not supported in a pattern")
            self._next = self._pattern.find(">", self._next) + 1 or len(self._pattern)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PatternError(f"groups in the pattern are nested deeper than {MAX_DEPTH}")
        node = self._choice()
        self._depth -= 1
        if not self._take(")"):
            raise PatternError("missing closing ) in the pattern")
        return node

    def _escape(self) -> Node:
        letter = self._character()
        match letter:
            case "A":
                return Anchor("^")
            case "z":
                return Anchor("$")
            case _:
                return Character(self._escaped(letter))

    def _escaped(self, letter: str) -> Test:
        if letter.lower() in _CLASSES:
            return _CLASSES[letter] if letter in _CLASSES else _not(_CLASSES[letter.lower()])
        return self._literal(self._escaped_character(letter))

    def _escaped_character(self, letter: str) -> str:
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter == "x":
            digits = self._pattern[self._next : self._next + 2]
            if re.fullmatch("[0-9a-fA-F]{2}", digits):
                self._next += 2
                return chr(int(digits, 16))
        if letter.isascii() and letter.isalnum():
            raise PatternError(f"\\{letter} is not supported in a pattern")
        return letter

    def _class(self) -> Test:
        """What stands between brackets; a ``]`` that comes first means itself."""
        negated = self._take("^")
        tests = [self._class_item()]
        while not self._take("]"):
            tests.append(self._class_item())
        return lambda character: any(test(character) for test in tests) is not negated

    def _class_item(self) -> Test:
        if named := _NAME.match(self._pattern, self._next):
            return self._named(named)
        low = self._character("missing closing ] in the pattern")
        if low == "\\":
            letter = self._character()
            if letter.lower() in _CLASSES:
                return self._escaped(letter)
            low = self._escaped_character(letter)
        if not (self._pattern[self._next : self._next + 1] == "-" and self._pattern[self._next + 1 : self._next + 2] not in ("]", "")):
            return self._literal(low)
        self._next += 1
        high = self._character()
        high = self._escaped_character(self._character()) if high == "\\" else high
        if high < low:
            raise PatternError(f"the range {low}-{high} in the pattern is empty")
        if not self._ignore_case:
            return lambda character: low <= character <= high
        return lambda character: low <= character.lower() <= high or low <= character.upper() <= high

    def _named(self, found: re.Match[str]) -> Test:
        negation, name = found.groups()
        if name not in _NAMED:
            raise PatternError(f"there is no class {found[0]} for a pattern")
        self._next = found.end()
        passes = re.compile(_NAMED[name], re.ASCII | (re.IGNORECASE if self._ignore_case else 0)).match
        return lambda character: (passes(character) is not None) is not (negation == "^")

    def _literal(self, wanted: str) -> Test:
        if not self._ignore_case:
            return lambda character: character == wanted
        folded = wanted.lower()
        return lambda character: character.lower() == folded

    def _character(self, problem: str = "the pattern ends in the middle") -> str:
        if self._next >= len(self._pattern):
            raise PatternError(problem)
        self._next += 1
        return self._pattern[self._next - 1]

    def _take(self, text: str) -> bool:
        if not self._pattern.startswith(text, self._next):
            return False
        self._next += len(text)
        return True
