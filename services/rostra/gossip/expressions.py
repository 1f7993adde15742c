"""Regular expressions from the network, in time linear in the text (Thompson 1968).

Serf's tag filters are RE2 expressions. Python's ``re`` backtracks: one packet with ``(a+)+$`` would stop this process. This matcher takes
the part of RE2's syntax that people use (literals, classes, groups, alternation, repetition, anchors, ``(?i)``) and refuses the rest.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Final

from rostra.errors import BadRequest

_PATTERN_MAX: Final = 512
_STATES_MAX: Final = 512
_REPEAT_MAX: Final = 1000  # RE2's own limit
_DEPTH_MAX: Final = 50

_CLASSES: Final = {
    "d": [("0", "9")],
    "w": [("0", "9"), ("A", "Z"), ("a", "z"), ("_", "_")],
    "s": [("\t", "\t"), ("\n", "\n"), ("\f", "\f"), ("\r", "\r"), (" ", " ")],
}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


@dataclass(slots=True)
class _State:
    """One state of the automaton. ``chars`` None: it passes without reading, under ``anchor`` if there is one."""

    chars: _Chars | None = None
    anchor: str = ""
    next: list[_State] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Chars:
    """A set of characters."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False
    fold: bool = False

    def __contains__(self, char: object) -> bool:
        assert isinstance(char, str)
        variants = {char, char.lower(), char.upper()} if self.fold else (char,)
        return any(low <= variant <= high for variant in variants for low, high in self.ranges) is not self.negated


@dataclass(frozen=True, slots=True)
class _Fragment:
    start: _State
    end: _State


@functools.lru_cache(maxsize=256)
def compile_expression(pattern: str) -> Expression:
    """Raises ``BadRequest`` for what is not an expression, or is one beyond the part of the syntax understood here."""
    if len(pattern) > _PATTERN_MAX:
        raise _refusal(pattern, "too long")
    return Expression(_Parser(pattern).parse())


class Expression:
    """A compiled expression."""

    def __init__(self, fragment: _Fragment) -> None:
        self._start = fragment.start
        self._end = fragment.end

    def is_found_in(self, text: str) -> bool:
        """Does it match somewhere in ``text``?"""
        current: dict[int, _State] = {}
        for position in range(len(text) + 1):
            self._enter(self._start, current, position, len(text))
            if id(self._end) in current:
                return True
            if position == len(text):
                return False
            following: dict[int, _State] = {}
            for state in current.values():
                if state.chars is not None and text[position] in state.chars:
                    for target in state.next:
                        self._enter(target, following, position + 1, len(text))
            current = following
        return False

    @staticmethod
    def _enter(state: _State, states: dict[int, _State], position: int, length: int) -> None:
        """Add ``state`` and all that is reached from it without reading."""
        waiting = [state]
        while waiting:
            entered = waiting.pop()
            if id(entered) in states:
                continue
            if (entered.anchor == "^" and position != 0) or (entered.anchor == "$" and position != length):
                continue
            states[id(entered)] = entered
            if entered.chars is None:
                waiting.extend(entered.next)


class _Parser:
    """Recursive descent into fragments of the automaton."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._position = 0
        self._states = 0
        self._fold = False

    def parse(self) -> _Fragment:
        if self._pattern.startswith("(?i)"):
            self._fold, self._position = True, 4
        fragment = self._alternation(0)
        if self._peek():
            raise _refusal(self._pattern, "unbalanced )")
        return fragment

    def _alternation(self, depth: int) -> _Fragment:
        if depth > _DEPTH_MAX:
            raise _refusal(self._pattern, "nested too deep")
        branches = [self._sequence(depth)]
        while self._accept("|"):
            branches.append(self._sequence(depth))
        if len(branches) == 1:
            return branches[0]
        start, end = self._state(), self._state()
        for branch in branches:
            start.next.append(branch.start)
            branch.end.next.append(end)
        return _Fragment(start, end)

    def _sequence(self, depth: int) -> _Fragment:
        start = end = self._state()
        while (char := self._peek()) and char not in "|)":
            item = self._repeated(depth)
            end.next.append(item.start)
            end = item.end
        return _Fragment(start, end)

    def _repeated(self, depth: int) -> _Fragment:
        begin = self._position
        fragment = self._atom(depth)
        after = self._position
        bounds = self._bounds()
        if bounds is None:
            return fragment
        self._accept("?")  # lazy: finds the same texts
        if (char := self._peek()) and char in "*+?":
            raise _refusal(self._pattern, "a repetition of a repetition")
        resume = self._position
        least, most = bounds
        start = end = self._state()
        for copy in range(max(least, most or 1)):
            self._position = begin
            item = fragment if copy == 0 else self._atom(depth)  # the text is read again: each copy needs its own states
            end.next.append(item.start)
            if copy >= least:
                skip, finish = end, self._state()
                item.end.next.append(finish)
                skip.next.append(finish)
                end = finish
            else:
                end = item.end
            if most is None and copy == max(least, 1) - 1:
                item.end.next.append(item.start)
        assert after <= resume
        self._position = resume
        return _Fragment(start, end)

    def _bounds(self) -> tuple[int, int | None] | None:
        if self._accept("*"):
            return 0, None
        if self._accept("+"):
            return 1, None
        if self._accept("?"):
            return 0, 1
        closing = self._pattern.find("}", self._position)
        if self._peek() != "{" or closing < 0:
            return None
        least, comma, most = self._pattern[self._position + 1 : closing].partition(",")
        if not _is_number(least) or (most and not _is_number(most)):
            return None  # a brace that is no repetition stands for itself
        self._position = closing + 1
        low = int(least)
        high = (int(most) if most else None) if comma else low
        if low > _REPEAT_MAX or (high is not None and not max(low, 1) <= high <= _REPEAT_MAX):
            raise _refusal(self._pattern, "repetition out of range")
        return low, high

    def _atom(self, depth: int) -> _Fragment:
        char = self._take()
        match char:
            case "(":
                if self._accept("?") and not self._accept(":"):
                    raise _refusal(self._pattern, "a group of this kind")
                fragment = self._alternation(depth + 1)
                if not self._accept(")"):
                    raise _refusal(self._pattern, "missing )")
                return fragment
            case "^" | "$":
                return self._single(_State(anchor=char))
            case ".":
                return self._chars([("\n", "\n")], negated=True)
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise _refusal(self._pattern, "nothing to repeat")
            case _:
                return self._chars([(char, char)])

    def _class(self) -> _Fragment:
        negated = self._accept("^")
        ranges: list[tuple[str, str]] = []
        while not ranges or self._peek() != "]":
            low = self._take()
            if low == "[" and self._peek() == ":":
                raise _refusal(self._pattern, "a named class")
            if low == "\\":
                escaped = self._take()
                if escaped in _CLASSES:
                    ranges += _CLASSES[escaped]
                    continue
                low = self._literal(escaped)
            high = low
            if self._pattern[self._position : self._position + 1] == "-" and self._pattern[self._position + 1 : self._position + 2] != "]":
                self._take()
                high = self._take()
                high = self._literal(self._take()) if high == "\\" else high
            if high < low:
                raise _refusal(self._pattern, "a range that ends before it begins")
            ranges.append((low, high))
        self._take()
        return self._chars(ranges, negated=negated)

    def _escape(self) -> _Fragment:
        char = self._take()
        match char:
            case "A":
                return self._single(_State(anchor="^"))
            case "z":
                return self._single(_State(anchor="$"))
            case "d" | "w" | "s":
                return self._chars(_CLASSES[char])
            case "D" | "W" | "S":
                return self._chars(_CLASSES[char.lower()], negated=True)
            case _:
                literal = self._literal(char)
                return self._chars([(literal, literal)])

    def _literal(self, char: str) -> str:
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isalnum():
            raise _refusal(self._pattern, f"the escape \\{char}")
        return char

    def _chars(self, ranges: list[tuple[str, str]], *, negated: bool = False) -> _Fragment:
        return self._single(_State(chars=_Chars(tuple(ranges), negated, self._fold)))

    def _single(self, state: _State) -> _Fragment:
        end = self._state()
        state.next.append(end)
        return _Fragment(state, end)

    def _state(self) -> _State:
        self._states += 1
        if self._states > _STATES_MAX:
            raise _refusal(self._pattern, "too large")
        return _State()

    def _peek(self) -> str:
        return self._pattern[self._position : self._position + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise _refusal(self._pattern, "it ends too early")
        self._position += 1
        return char

    def _accept(self, char: str) -> bool:
        found = self._peek() == char
        self._position += found
        return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _refusal(pattern: str, why: str) -> BadRequest:
    return BadRequest(f"the expression {pattern[:80]!r} is not understood: {why}", field="expression")
