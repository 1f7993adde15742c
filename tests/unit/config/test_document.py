"""HCL and JSON with line numbers, and syntax errors by line and column."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.config.document import DEPTH_MAX, Node, SyntaxProblem, Table, read_hcl, read_json


def plain(text: str) -> object:
    return Node(read_hcl(text), 1).plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("# only\n// comments /*\n/* here */", {}),
        ('a = "x" b = 1', {"a": "x", "b": 1}),
        ('"a" = "x"', {"a": "x"}),
        ("a { b = 1, c = 2 }", {"a": {"b": 1, "c": 2}}),
        ('ttl { "*" = "5s" }', {"ttl": {"*": "5s"}}),
        ('service "web" { port = 1 }', {"service": {"web": {"port": 1}}}),
        ("a = [1, -2, 0x10, 1.5, 1e3, true, false, null,]", {"a": [1, -2, 16, 1.5, 1000.0, True, False, None]}),
        ('a = "q\\" \\\\ \\n \\u00e9 \\x41 ${b} {{ c }}"', {"a": 'q" \\ \n é A ${b} {{ c }}'}),
        ("a = <<EOF\nx\n y\nEOF\nb = 1", {"a": "x\n y\n", "b": 1}),
        ("a = <<-EOF\n  x\n   y\n  EOF\n", {"a": "x\n y\n"}),
        ("a = <<EOF\r\nx\r\nEOF\r\n", {"a": "x\r\n"}),
        ('{"a": [{"b": "}"}]}', {"a": [{"b": "}"}]}),
    ],
)
def test_hcl_is_read_as_consul_reads_it(text: str, value: object) -> None:
    assert plain(text) == value


def test_a_block_given_twice_counts_twice() -> None:
    assert [name for name, _ in read_hcl('services { name = "a" }\nservices { name = "b" }').entries] == ["services", "services"]


def test_each_entry_knows_its_line() -> None:
    table = read_hcl('a = 1\n\n# x\nb {\n  c = <<E\n1\n2\nE\n  d = [\n    1,\n    {\n      e = 1\n    },\n  ]\n}\n"f"=2')
    (_, a), (_, b), (_, f) = table.entries
    assert isinstance(b.value, Table)
    (_, c), (_, d) = b.value.entries
    assert [node.line for node in (a, b, c, d, f)] == [1, 4, 5, 9, 16]
    assert [item.line for item in d.value] == [10, 11]


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a = [1,\n2\n", (3, 1), "expected , or ], the file ends"),
        ("a = [1 2]", (1, 8), "expected , or ], found 2"),
        ('a = 1\nb = "x\n', (2, 5), "this string has no end: expected a closing quote on its line"),
        ("a b", (1, 4), "expected = or { after b, the file ends"),
        ("a = 10s", (1, 5), "expected a number: a value with a unit needs quotes"),
        ("a = foo", (1, 5), "expected a value: a string needs quotes, found foo"),
        ('a = "\\q"', (1, 5), "unknown escape \\q in a string"),
        ("/* x", (1, 1), "this comment has no end: expected */"),
        ("a = <<E\nx", (1, 5), "<<E has no end: expected a line E"),
        ("a {\n  b = 1\n", (3, 1), "expected a key or }, the file ends"),
        ("a = 1 }", (1, 7), "expected a key, found }"),
        ("a = ;", (1, 5), "unexpected character ';'"),
    ],
)
def test_broken_hcl_is_told_by_line_and_column(text: str, where: tuple[int, int], message: str) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        read_hcl(text)
    assert ((caught.value.line, caught.value.column), str(caught.value)) == (where, message)


@pytest.mark.parametrize("text", ['{"a": 1,}', '{"a" 1}', "{'a': 1}", '{"a": 1} x', "[]", "", '{"a": NaN}', "{" * 100_000, '{"a": 1} // x'])
def test_broken_json_is_told_by_line_and_column(text: str) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        read_json(text)
    assert caught.value.line == 1


def test_nesting_has_a_limit() -> None:
    for text in ("a = " + "[" * (DEPTH_MAX + 1), "a " * (DEPTH_MAX + 2) + "{", '{"a": ' + "[" * 40 + "]" * 40 + "}"):
        with pytest.raises(SyntaxProblem, match="nested deeper than 32 levels"):
            read_hcl(text)


SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=10
)
DOCUMENTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


@given(DOCUMENTS, st.sampled_from([None, 2]), st.booleans())
def test_json_reads_as_the_json_module_reads_it(document: dict[str, object], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    assert Node(read_json(text), 1).plain() == document


@given(st.text(st.sampled_from('ab1"=:{}[],.\n\\#/*-<E '), max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    for read in (read_hcl, read_json):
        with contextlib.suppress(SyntaxProblem):
            read(text)
