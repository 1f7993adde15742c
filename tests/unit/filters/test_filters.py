"""Filter expressions: what they select, and where they are wrong. A real Consul is asked the same in tests/interop/gateway."""

from __future__ import annotations

import contextlib
import gc
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.errors import BadRequest
from rostra.filters.expressions import compile_filter
from rostra.filters.patterns import MAX_PATTERNS, PatternError, _Automaton, compile_pattern
from rostra.filters.selectors import CHECK, SERVICE, Schema, schemas_of
from rostra.model.catalog import Check, HealthStatus, Node, Service, ServiceAddress, ServiceInstance

SCHEMAS = schemas_of("dc1")
NODE = Node("n1", "10.0.0.1", meta={"rack": "7", "a b": "c"}, tagged_addresses={"lan": "10.0.0.1"})
WEB = Service("web-1", "web", tags=("a", "v2"), port=80, meta={"k": "v"}, tagged_addresses={"lan": ServiceAddress("1.2.3.4", 8)})
CHECKS = (Check("n1", "serfHealth", "Serf", HealthStatus.PASSING), Check("n1", "web", "Web", HealthStatus.WARNING, service_tags=("a",)))
INSTANCE = ServiceInstance(NODE, WEB, CHECKS)


@pytest.mark.parametrize(
    ("schema", "record", "text", "expected"),
    [
        (SCHEMAS.node, NODE, "Node == n1", True),
        (SCHEMAS.node, NODE, 'Node=="n1"', True),
        (SCHEMAS.node, NODE, "Node == `n1`", True),
        (SCHEMAS.node, NODE, r'Node == "\u006e1"', True),
        (SCHEMAS.node, NODE, "Node != n1", False),
        (SCHEMAS.node, NODE, "Datacenter == dc1", True),
        (SCHEMAS.node, NODE, "Meta.rack == 7", True),
        (SCHEMAS.node, NODE, 'Meta["a b"] == c', True),
        (SCHEMAS.node, NODE, "Meta.nope == x", False),
        (SCHEMAS.node, NODE, "Meta.nope != x", True),
        (SCHEMAS.node, NODE, "rack in Meta and not nope in Meta", True),
        (SCHEMAS.node, NODE, "Meta contains nope", False),
        (SCHEMAS.node, NODE, "Meta is not empty", True),
        (SCHEMAS.node, NODE, "TaggedAddresses.lan == `10.0.0.1`", True),
        (SCHEMAS.node, NODE, '"1" in Node', True),
        (SCHEMAS.node, NODE, "Node not contains z", True),
        (SCHEMAS.node, NODE, "Node matches `^n[0-9]$`", True),
        (SCHEMAS.node, NODE, "Node not matches `^n`", False),
        (SCHEMAS.node, NODE, "Meta.nope matches x", False),
        (SCHEMAS.node, NODE, "Node == x or Node == n1 and Meta.rack == 8", False),
        (SCHEMAS.node, NODE, "(Node == x or Node == n1) and Meta.rack == 7", True),
        (SCHEMAS.node, NODE, "not not (Node == n1)", True),
        (SCHEMAS.node, NODE, "not Node == x and Node == n1", True),
        (SERVICE, WEB, "Port == 80 and Port != 81", True),
        (SERVICE, WEB, 'Port == "80"', True),
        (SERVICE, WEB, "Tags contains v2 and a in Tags and not b in Tags", True),
        (SERVICE, WEB, "Weights.Passing == 1 and EnableTagOverride == false", True),
        (SERVICE, WEB, "TaggedAddresses.lan.Port == 8", True),
        (SERVICE, WEB, "TaggedAddresses.wan.Port == 8", False),
        (SERVICE, WEB, "TaggedAddresses contains lan", True),
        (CHECK, CHECKS[0], "Status == passing and ServiceTags is empty", True),
        (SCHEMAS.instance, INSTANCE, "Checks.Status == warning", True),
        (SCHEMAS.instance, INSTANCE, "Checks.Status != warning", True),
        (SCHEMAS.instance, INSTANCE, "not Checks.Status == warning", False),
        (SCHEMAS.instance, INSTANCE, "Checks.ServiceTags contains a", True),
        (SCHEMAS.instance, INSTANCE, "Checks is not empty and Service.Meta.k == v and Node.Meta.rack == 7", True),
        (SCHEMAS.catalog_service, INSTANCE, "ServiceMeta.k == v and NodeMeta.rack == 7 and ServiceTags contains a", True),
    ],
)
def test_expressions_select(schema: Schema, record: object, text: str, expected: bool) -> None:
    assert compile_filter(text, schema)(record) is expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Foo == bar", '1:1 (0): Selector "Foo" is not valid'),
        ("Node == n1 and Foo == bar", '1:16 (15): Selector "Foo" is not valid'),
        ("Meta.a.b == c", '1:1 (0): Selector "Meta.a.b" is not valid'),
        ("Node is empty", '1:6 (5): Invalid match operator "is empty" for selector "Node"'),
        ("Meta == x", '1:6 (5): Invalid match operator "==" for selector "Meta"'),
        ("Node", '1:5 (4): expected "==", "!=", "is", "contains", "matches", "in" or "not"'),
        ("Node == n1 junk", '1:12 (11): expected "and", "or" or the end'),
        ("Node == a-b", '1:10 (9): unexpected "-"'),
        ('Node == "a', "1:9 (8): unterminated string"),
        ('Node == "\\q"', "1:9 (8): unknown escape in the string"),
        ("(Node == n1", '1:12 (11): expected ")"'),
        ('"a"', '1:4 (3): expected "in" or "not in"'),
        ("Node ==\nn1 or\n  Foo == x", '3:3 (16): Selector "Foo" is not valid'),
        ("   ", '1:4 (3): expected "(", "not", a selector or a value'),
        ("Node matches `(`", "1:14 (13): missing closing ) in the pattern"),
        ("not " * 100 + "Node == x", "1:257 (256): nested deeper than 64"),
        ("(" * 100, "1:65 (64): nested deeper than 64"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(BadRequest) as raised:
        compile_filter(text, SCHEMAS.node)
    assert raised.value.field == "filter"
    assert str(raised.value) == f"Failed to create boolean expression evaluator: {problem}"


def test_values_are_checked_against_the_type_of_the_field() -> None:
    for text, word in (("Port == abc", "a whole number"), ("Port == 1.5", "a whole number"), ("EnableTagOverride == x", "true or false")):
        with pytest.raises(BadRequest, match=word):
            compile_filter(text, SERVICE)


@given(st.text(alphabet='Node Meta.=!"`()[]andornotincontainsmatchesis0123\\\n', max_size=40))
def test_no_expression_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(BadRequest):
        compile_filter(text, SCHEMAS.node)(NODE)


PATTERNS = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\w", "^", "$", "c"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,}"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    ),
    max_leaves=8,
)


@given(PATTERNS, st.text(alphabet="abc1\n", max_size=8))
def test_patterns_find_what_pythons_find(pattern: str, text: str) -> None:
    try:
        found = compile_pattern(pattern)(text)
    except PatternError:
        return
    assert found is (re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None)


def test_a_pattern_that_takes_others_forever_takes_no_time() -> None:
    assert not compile_pattern("(a*)*b")("a" * 5000)
    assert not compile_pattern("(a|a)*(a|a)*(a|a)*b")("a" * 5000)


@pytest.mark.parametrize(
    "pattern", ["(", ")", "[a", "a**", "*a", "(?=a)", r"\1", r"\b", "a{3,1}", "(a{100}){100}", "[b-a]", "\\", "(" * 60]
)
def test_patterns_that_cannot_be_read_or_are_too_large_are_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)


def test_flags_classes_and_escapes_are_read() -> None:
    for pattern, text in (
        ("(?i)WEB", "xweb"),
        ("(?s)a.b", "a\nb"),
        (r"\.\x41[\d\]]$", ".A]"),
        ("[]a]", "]"),
        ("[a-]", "-"),
        ("(?P<n>x)y", "xy"),
        ("[[:alpha:]]", "1a"),
        ("^[^[:alpha:]_]$", "1"),
        ("^[[:^digit:]x]+$", "xyz"),
        ("(?i)^[[:upper:]]$", "a"),
        ("^[[:punct:]]{4}$", "[`~-"),
        ("[[:]", ":"),
    ):
        assert compile_pattern(pattern)(text), pattern
    for pattern, text in (("[[:alpha:]]", "1é"), ("[[:upper:]]", "a"), ("[[:^alpha:]]", "a")):
        assert not compile_pattern(pattern)(text), pattern


def test_filters_that_are_kept_keep_no_patterns_beyond_so_many() -> None:
    """Each pattern learns, and what it has learned takes memory; filters are kept by the thousand."""
    kept = [compile_filter(f'Service matches "^{number}[a-z]+$"', SERVICE) for number in range(3 * MAX_PATTERNS)]
    assert [number for number, predicate in enumerate(kept) if predicate(Service("a", "7abc"))] == [7]
    gc.collect()
    assert sum(isinstance(each, _Automaton) for each in gc.get_objects()) <= MAX_PATTERNS
