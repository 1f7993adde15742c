"""Reading JSON and HCL so that every value knows its line.

HCL here is version 1, the one that Consul's configuration is written in: keys may be quoted (``service_ttl { "*" = "5s" }``), commas
between the items of an object are optional, a block with labels is an object in an object, and a repeated block counts each time. That
is why python-hcl2 does not serve: it reads version 2, refuses quoted keys in blocks (which Consul's own documentation uses), and takes
seconds to build its grammar before the first file. HCL's grammar contains JSON's, so one small reader serves both once the ``json``
module has found the syntax of a JSON file good. Nothing is interpolated: Consul interpolates nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

DEPTH_MAX = 32
_DIGITS_MAX = 20  # beyond 64 bits, so out of every range; Python refuses to convert thousands
_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\r\n]+|\#[^\n]*|//[^\n]*|/\*.*?\*/)++)
      |(?P<heredoc><<(?P<indented>-?)(?P<marker>[A-Za-z_]\w*)\r?\n)
      |(?P<string>"(?:[^"\\\n]|\\[^\n])*+")
      |(?P<number>-?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.]))
      |(?P<name>[A-Za-z_][\w.-]*)
      |(?P<mark>[{}\[\],=:])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|([0-7]{3})|(.))")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "/": "/"}
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its line. ``value`` is a plain scalar, a list of nodes, or a ``Table``."""

    value: Any
    line: int

    def plain(self) -> Any:
        """The value without lines: what ``json.loads`` would give. Of a key given twice, the later."""
        if isinstance(self.value, Table):
            return {name: node.plain() for name, node in self.value.entries}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value


@dataclass(frozen=True, slots=True)
class Table:
    """The entries of an object in the order written; the line of an entry's node is that of its key."""

    entries: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    value: Any
    offset: int


class SyntaxProblem(Exception):
    """The text is no document: where, counted from 1, and what was expected."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line, self.column = line, column


def read_json(text: str) -> Table:
    """The document in ``text``, which must be a JSON object."""

    def refuse(word: str) -> NoReturn:
        raise SyntaxProblem(f"{word} is not JSON", 1, 1)

    try:
        if not isinstance(json.loads(text, parse_constant=refuse), dict):
            raise SyntaxProblem("expected an object", 1, 1)
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        raise SyntaxProblem(message.removesuffix(" enclosed in double quotes"), error.lineno, error.colno) from None
    except RecursionError:
        raise SyntaxProblem(f"nested deeper than {DEPTH_MAX} levels", 1, 1) from None
    reader = _Reader(text, is_json=True)
    reader.take("{")
    return reader.table("}", depth=1)


def read_hcl(text: str) -> Table:
    """The document in ``text``: HCL, or JSON, which Consul takes for HCL as well."""
    if text.lstrip().startswith("{"):
        return read_json(text)
    return _Reader(text, is_json=False).table("", depth=0)


class _Reader:
    """Recursive descent over the tokens, one token ahead."""

    def __init__(self, text: str, *, is_json: bool) -> None:
        self._text, self._is_json = text, is_json
        self._offset = 0
        self._counted = (0, 1)
        self._next = self._token()

    def table(self, end: str, *, depth: int) -> Table:
        """The entries up to and including ``end`` (empty: up to the end of the text)."""
        entries = []
        while not (self._next.kind == "end" if not end else self._next.text == end):
            if self._next.kind not in ("name", "string"):
                self._fail(f"expected a key{f' or {end}' if end else ''}")
            entries.append(self._entry(depth))
            if self._next.text == ",":
                self._advance()
        if end:
            self._advance()
        return Table(tuple(entries))

    def take(self, text: str) -> None:
        """Take the mark ``text``, which must be next."""
        if self._next.text != text:
            self._fail(f"expected {text}")
        self._advance()

    def _entry(self, depth: int) -> tuple[str, Node]:
        key = self._advance()
        name, line = key.value, self._line(key)
        if self._next.kind in ("name", "string"):  # a label: service "web" { ... }
            label, node = self._entry(self._deeper(depth))
            return name, Node(Table(((label, node),)), line)
        if self._next.text in ("=", ":") and self._next.kind == "mark":
            self._advance()
        elif self._next.text != "{":
            self._fail(f"expected = or {{ after {name}")
        return name, Node(self._value(depth), line)

    def _value(self, depth: int) -> Any:
        token = self._next
        if token.kind in ("string", "number", "heredoc"):
            return self._advance().value
        if token.kind == "name" and token.text in _WORDS:
            self._advance()
            return _WORDS[token.text]
        if token.text == "{":
            self._advance()
            return self.table("}", depth=self._deeper(depth))
        if token.text == "[":
            self._advance()
            return self._list(self._deeper(depth))
        return self._fail("expected a value" + (": a string needs quotes" if token.kind == "name" else ""))

    def _list(self, depth: int) -> list[Node]:
        items = []
        while self._next.text != "]":
            line = self._line(self._next)
            items.append(Node(self._value(depth), line))
            if self._next.text != "]":
                self.take(",") if self._next.text == "," else self._fail("expected , or ]")
        self._advance()
        return items

    def _deeper(self, depth: int) -> int:
        if depth >= DEPTH_MAX:
            self._fail(f"nested deeper than {DEPTH_MAX} levels")
        return depth + 1

    def _advance(self) -> _Token:
        token, self._next = self._next, self._token()
        return token

    def _token(self) -> _Token:
        found = _TOKEN.match(self._text, self._offset)
        if found is not None and found.lastgroup == "space":
            self._offset = found.end()
            found = _TOKEN.match(self._text, self._offset)
        start = self._offset
        if found is None:
            if start >= len(self._text):
                return _Token("end", "", None, start)
            self._fail_at(start, self._what_is_wrong(start))
        self._offset = found.end()
        if found["heredoc"]:
            return _Token("heredoc", found[0], self._heredoc(found, start), start)
        kind, text = next(name for name in ("string", "number", "name", "mark") if found[name]), found[0]
        return _Token(kind, "" if kind == "string" else text, self._scalar(kind, text, start), start)

    def _scalar(self, kind: str, text: str, start: int) -> Any:
        if kind == "string":
            return json.loads(text) if self._is_json else self._unescape(text[1:-1], start)
        if kind != "number":
            return text
        if "x" in text.lower():
            return int(text, 16)
        return float(text) if re.search(r"[.eE]", text) else int(text[:_DIGITS_MAX])

    def _unescape(self, text: str, start: int) -> str:
        def one(found: re.Match[str]) -> str:
            code = found[1] or found[2] or found[3]
            if code or found[4]:
                number = int(code, 16) if code else int(found[4], 8)
                return chr(number) if number < 0x110000 else self._fail_at(start, f"{found[0]} is no character")
            return _ESCAPED[found[5]] if found[5] in _ESCAPED else self._fail_at(start, f"unknown escape {found[0]} in a string")

        return _ESCAPE.sub(one, text)

    def _heredoc(self, found: re.Match[str], start: int) -> str:
        end = re.compile(rf"^[ \t]*{found['marker']}[ \t]*\r?$", re.MULTILINE).search(self._text, self._offset)
        if end is None:
            self._fail_at(start, f"<<{found['marker']} has no end: expected a line {found['marker']}")
        body = self._text[self._offset : end.start()]
        self._offset = end.end()
        if not found["indented"]:
            return body
        lines = body.splitlines(keepends=True)
        indent = min((len(line) - len(line.lstrip(" \t")) for line in lines if line.strip()), default=0)
        return "".join(line[indent:] if line.strip() else line.lstrip(" \t") for line in lines)

    def _what_is_wrong(self, offset: int) -> str:
        rest = self._text[offset : offset + 2]
        if rest[0] == '"':
            return "this string has no end: expected a closing quote on its line"
        if rest == "/*":
            return "this comment has no end: expected */"
        if rest[0].isdigit() or rest[0] == "-":
            return "expected a number: a value with a unit needs quotes"
        return f"unexpected character {rest[0]!r}"

    def _line(self, token: _Token) -> int:
        """Lines are counted from the last place that was asked for: a large file is walked once."""
        offset, line = self._counted if self._counted[0] <= token.offset else (0, 1)
        self._counted = (token.offset, line + self._text.count("\n", offset, token.offset))
        return self._counted[1]

    def _fail(self, expected: str) -> NoReturn:
        token = self._next
        there = "the file ends" if token.kind == "end" else f"found {json.dumps(token.value) if token.kind == 'string' else token.text}"
        self._fail_at(token.offset, f"{expected}, {there}")

    def _fail_at(self, offset: int, message: str) -> NoReturn:
        line_start = self._text.rfind("\n", 0, offset) + 1
        raise SyntaxProblem(message, self._text.count("\n", 0, offset) + 1, offset - line_start + 1)
