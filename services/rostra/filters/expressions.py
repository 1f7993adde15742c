"""Filter expressions in Consul's grammar (https://developer.hashicorp.com/consul/api-docs/features/filtering), as predicates.

::

    or     := and { "or" and }
    and    := not { "and" not }
    not    := [ "not" ] ( "(" or ")" | match )
    match  := selector ( "==" | "!=" ) value  |  selector "is" [ "not" ] "empty"
            | value [ "not" ] "in" selector   |  selector [ "not" ] "contains" value  |  selector [ "not" ] "matches" value

Expressions are checked against the record that the endpoint lists before any record is looked at; what is wrong is told with its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from rostra.errors import BadRequest
from rostra.filters.patterns import PatternError, compile_pattern
from rostra.filters.selectors import Kind, Schema, Selected, select

Predicate: TypeAlias = Callable[[Any], bool]

MAX_LENGTH: Final = 4096
MAX_DEPTH: Final = 64

_TOKEN: Final = re.compile(
    r'(?P<space>[ \t\r\n]+)|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<raw>`[^`]*`)|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)'
    r"|(?P<word>[a-zA-Z][a-zA-Z0-9_]*)|(?P<sign>==|!=|[().\[\]])"
)
_ESCAPE: Final = re.compile(r"\\(?:([abfnrtv\\\"'])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))")
_LETTERS: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_VALUES: Final = frozenset({"string", "raw", "number", "word"})
_TRUTHS: Final = {"1": True, "t": True, "T": True, "TRUE": True, "true": True, "True": True} | {
    "0": False, "f": False, "F": False, "FALSE": False, "false": False, "False": False
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the expression; ``kind`` is "end" after the last."""

    kind: str
    text: str
    place: int


@lru_cache(maxsize=512)
def compile_filter(text: str, schema: Schema) -> Predicate:
    """The expression as a predicate on records of that schema. Raises 400 that says what is wrong, and where."""
    if len(text) > MAX_LENGTH:
        raise BadRequest(f"Failed to create boolean expression evaluator: longer than {MAX_LENGTH} characters", field="filter")
    return _Parser(text, schema).parse()


def _any_of(parts: list[Predicate]) -> Predicate:
    match parts:
        case [part]:
            return part
        case [first, second]:  # as most are; a generator for each record costs more than both
            return lambda record: first(record) or second(record)
    return lambda record: any(part(record) for part in parts)


def _all_of(parts: list[Predicate]) -> Predicate:
    match parts:
        case [part]:
            return part
        case [first, second]:
            return lambda record: first(record) and second(record)
    return lambda record: all(part(record) for part in parts)


def _error(text: str, place: int, problem: str) -> BadRequest:
    """Line, column and offset are counted as Consul counts them."""
    line = text.count("\n", 0, place) + 1
    column = place - (text.rfind("\n", 0, place) + 1) + 1
    return BadRequest(f"Failed to create boolean expression evaluator: {line}:{column} ({place}): {problem}", field="filter")


def _tokens(text: str) -> list[Token]:
    tokens, place = [], 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise _error(text, place, "unterminated string" if text[place] in '"`' else f'unexpected "{text[place]}"')
        assert found.lastgroup is not None
        if found.lastgroup != "space":
            tokens.append(Token(found.lastgroup, found[0], place))
        place = found.end()
    return [*tokens, Token("end", "", len(text))]


class _Parser:
    """Recursive descent, each rule a method that returns a predicate."""

    def __init__(self, text: str, schema: Schema) -> None:
        self._text = text
        self._schema = schema
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def parse(self) -> Predicate:
        predicate = self._or()
        if self._peek.kind != "end":
            raise self._error('expected "and", "or" or the end')
        return predicate

    def _or(self) -> Predicate:
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        return _any_of(parts)

    def _and(self) -> Predicate:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return _all_of(parts)

    def _not(self) -> Predicate:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH}")
        try:
            if self._take("not"):
                inner = self._not()
                return lambda record: not inner(record)
            if self._take("("):
                inner = self._or()
                self._expect(")")
                return inner
            return self._match()
        finally:
            self._depth -= 1

    def _match(self) -> Predicate:
        first = self._peek
        if first.kind not in _VALUES:
            raise self._error('expected "(", "not", a selector or a value')
        value = self._value()
        negated = self._take("not")
        if self._take("in"):
            return self._contains(self._selected(), value, negated)
        if first.kind != "word":
            raise self._error('expected "in" or "not in"')
        place, self._next = self._next, self._tokens.index(first)
        selected = self._selected()
        self._next = place
        return self._test(selected, negated)

    def _test(self, selected: Selected, negated: bool) -> Predicate:
        operator = self._peek
        if self._take("contains"):
            return self._contains(selected, self._value(), negated)
        if self._take("matches"):
            return self._matches(selected, operator, negated)
        if not negated and (self._take("==") or self._take("!=")):
            return self._equals(selected, operator)
        if not negated and self._take("is"):
            negated = self._take("not")
            self._expect("empty")
            if selected.kind not in (Kind.TEXTS, Kind.MAP, Kind.LIST):
                raise self._mismatch(selected, operator, "is empty")
            return selected.predicate(lambda value: bool(value) is negated)
        raise self._error('expected "==", "!=", "is", "contains", "matches", "in" or "not"')

    def _contains(self, selected: Selected, value: Token, negated: bool) -> Predicate:
        """A part of a text, an item of a list, a key of a map."""
        if selected.kind not in (Kind.TEXT, Kind.TEXTS, Kind.MAP):
            raise self._mismatch(selected, value, "in")
        wanted = self._text_of(value)
        return selected.predicate(lambda found: (wanted in (found or ())) is not negated)

    def _matches(self, selected: Selected, operator: Token, negated: bool) -> Predicate:
        token = self._peek
        pattern = self._text_of(self._value())
        if selected.kind is not Kind.TEXT:
            raise self._mismatch(selected, operator, "matches")
        try:
            compile_pattern(pattern)
        except PatternError as error:
            raise _error(self._text, token.place, str(error)) from None
        return selected.predicate(lambda found: (found is not None and compile_pattern(pattern)(found)) is not negated)

    def _equals(self, selected: Selected, operator: Token) -> Predicate:
        token = self._peek
        wanted, negated = self._typed(selected, self._text_of(self._value()), token, operator), operator.text == "!="
        return selected.predicate(lambda found: (found == wanted) is not negated)

    def _typed(self, selected: Selected, text: str, token: Token, operator: Token) -> str | int | bool:
        match selected.kind:
            case Kind.TEXT:
                return text
            case Kind.NUMBER if re.fullmatch(r"[+-]?[0-9]{1,19}", text):
                return int(text)
            case Kind.TRUTH if text in _TRUTHS:
                return _TRUTHS[text]
            case Kind.NUMBER | Kind.TRUTH:
                word = "a whole number" if selected.kind is Kind.NUMBER else "true or false"
                raise _error(self._text, token.place, f'"{text}" is not {word}, which "{selected.name}" is')
            case _:
                raise self._mismatch(selected, operator, operator.text)

    # Tokens

    @property
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self, text: str) -> bool:
        """Whether the next token is this word or sign, which is then passed."""
        token = self._peek
        if token.text != text or token.kind not in ("word", "sign"):
            return False
        self._next += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._error(f'expected "{text}"')

    def _value(self) -> Token:
        """A value, or the selector that it may turn out to be."""
        token = self._peek
        if token.kind not in _VALUES:
            raise self._error("expected a value")
        self._next += 1
        if token.kind == "word":
            end = self._path(self._next - 1)[1]
            token = Token("word", self._text[token.place : end], token.place)
        return token

    def _path(self, start: int) -> tuple[list[str], int]:
        """The parts of the selector that begins there, and where it ends in the text; the next token is the one after it."""
        first = self._tokens[start]
        parts, end = [first.text], first.place + len(first.text)
        self._next = start + 1
        while self._peek.text in (".", "[") and self._peek.kind == "sign":
            if self._take("."):
                token = self._peek
                if token.kind != "word":
                    raise self._error("expected a name")
                parts.append(token.text)
                self._next += 1
            else:
                self._next += 1
                token = self._peek
                if token.kind not in ("string", "raw"):
                    raise self._error("expected a quoted key")
                parts.append(self._text_of(token))
                self._next += 1
                token = self._peek
                self._expect("]")
            end = token.place + len(token.text)
        return parts, end

    def _selected(self) -> Selected:
        token = self._peek
        if token.kind != "word":
            raise self._error("expected a selector")
        parts, end = self._path(self._next)
        selected = select(self._schema, parts)
        if selected is None:
            raise _error(self._text, token.place, f'Selector "{self._text[token.place : end]}" is not valid')
        return selected

    def _text_of(self, token: Token) -> str:
        if token.kind == "raw":
            return token.text[1:-1]
        return self._unquote(token) if token.kind == "string" else token.text

    def _unquote(self, token: Token) -> str:
        body = token.text[1:-1]
        rest = _ESCAPE.sub("", body)
        if "\\" in rest:
            raise _error(self._text, token.place, "unknown escape in the string")
        return _ESCAPE.sub(_unescape, body)

    def _error(self, problem: str) -> BadRequest:
        return _error(self._text, self._peek.place, problem)

    def _mismatch(self, selected: Selected, token: Token, operator: str) -> BadRequest:
        return _error(self._text, token.place, f'Invalid match operator "{operator}" for selector "{selected.name}"')


def _unescape(found: re.Match[str]) -> str:
    letter, *numbers = found.groups()
    if letter:
        return _LETTERS.get(letter, letter)
    number = int(next(filter(None, numbers[:3])), 16) if any(numbers[:3]) else int(numbers[3], 8)
    return chr(number) if number <= 0x10FFFF else "\ufffd"
