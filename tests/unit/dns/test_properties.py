"""Whatever bytes come: a valid answer or none; whatever is asked: it fits, or carries TC."""

from __future__ import annotations

import random

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
from hypothesis import given, settings
from hypothesis import strategies as st

from rostra.dns.core import Core
from rostra.dns.settings import DnsSettings
from rostra.dns.wire import Transport

from .support import CRITICAL, Asker, Catalog, is_truncated, lines, make_instance


def busy_catalog() -> Catalog:
    catalog = Catalog()
    nodes = [catalog.node(f"n{number}", f"10.0.0.{number}", meta={"k": "v" * number}) for number in range(40)]
    catalog.add(make_instance(nodes[0], "consul", port=8300))
    catalog.add(*(make_instance(node, "web", tags=["a", "b.c"]) for node in nodes))
    catalog.add(*(make_instance(node, "own", address=f"10.7.0.{number}") for number, node in enumerate(nodes)))
    catalog.add(make_instance(nodes[0], "ext", address="www.example.org"), make_instance(nodes[1], "down", status=CRITICAL))
    catalog.add(make_instance(nodes[2], "alias", address="web.service.consul"))
    return catalog


CATALOG = busy_catalog()
LABELS = st.sampled_from(
    [
        b"web", b"own", b"ext", b"down", b"alias", b"n1", b"a", b"b",
        b"c", b"_web", b"_tcp", b"service", b"node", b"addr", b"dc1", b"dc",
        b"ns", b"0a000001", b"consul", b"in-addr", b"arpa", b"10", b"\xff", b"x" * 63,
        b"",
    ]
)  # fmt: skip
NAMES = st.lists(LABELS, max_size=7).map(lambda labels: b"".join(bytes((len(label),)) + label for label in labels if label) + b"\0")
TYPES = st.sampled_from([1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 65, 249, 251, 252, 255, 0, 65535])


def check_answer(message: bytes, transport: Transport, core: Core) -> None:
    outcome = core.respond(message, transport, CATALOG.look)
    assert outcome is None or isinstance(outcome, bytes)
    if outcome is None:
        assert len(message) < 12 or message[2] & 0x80
        return
    response = dns.message.from_wire(outcome)
    assert outcome[:2] == message[:2]
    assert response.flags & dns.flags.QR
    assert len(outcome) <= (65535 if transport is Transport.TCP else 4096)


@given(st.binary(max_size=300), st.sampled_from(Transport))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_a_valid_answer_or_none(message: bytes, transport: Transport) -> None:
    check_answer(message, transport, Core(DnsSettings(), random.Random(1)))


@given(st.binary(min_size=2, max_size=2), NAMES, TYPES, st.sampled_from([1, 3, 255]), st.binary(max_size=12), st.sampled_from(Transport))
@settings(max_examples=200, deadline=None)
def test_any_question_gives_a_valid_answer(
    identity: bytes, name: bytes, qtype: int, qclass: int, rest: bytes, transport: Transport
) -> None:
    message = identity + b"\1\0\0\1\0\0\0\0\0\0" + name + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big") + rest
    check_answer(message, transport, Core(DnsSettings(), random.Random(1)))


def test_questions_with_bytes_changed_cut_and_added_give_valid_answers_or_none() -> None:
    chance = random.Random(20261122)
    core = Core(DnsSettings(), random.Random(1))
    subnet = dns.edns.ECSOption("192.0.2.0", 24)
    questions = [(name, qtype) for name in ("web.service.consul", "n1.node.consul", "consul") for qtype in ("A", "SRV", "ANY")]
    seeds = [dns.message.make_query(name, qtype, use_edns=0, options=[subnet]).to_wire() for name, qtype in questions]
    for _ in range(3000):
        message = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(message))
            match chance.randrange(4):
                case 0:
                    message[place] = chance.randrange(256)
                case 1:
                    message[place] ^= 1 << chance.randrange(8)
                case 2:
                    del message[place : place + chance.randint(1, 4)]
                case _:
                    message[place:place] = chance.randbytes(chance.randint(1, 4))
            if not message:
                break
        check_answer(bytes(message), chance.choice(tuple(Transport)), core)


@given(
    st.sampled_from(["web", "own", "a.web"]),
    st.sampled_from(["A", "SRV", "ANY"]),
    st.integers(512, 5000),
    st.integers(0, 50),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_asked_fits_what_the_asker_allowed_or_carries_tc(name: str, qtype: str, size: int, limit: int, plain: bool) -> None:
    """And what is given is what exists, each record once, also when names are not compressed."""
    asker = Asker(CATALOG, DnsSettings(udp_answer_limit=limit, disable_compression=plain), seed=size)
    whole = set(asker.records(f"{name}.service.consul", qtype, transport=Transport.TCP))
    assert len(whole) == 40
    for edns in (size, None):
        query = dns.message.make_query(f"{name}.service.consul", qtype, use_edns=False if edns is None else 0, payload=edns or 0)
        wire = asker.wire(query)
        response = dns.message.from_wire(wire)
        given_records = lines(response.answer)
        assert len(wire) <= (min(edns, 4096) if edns else 512)
        assert len(given_records) == len(set(given_records))
        assert set(given_records) <= whole
        assert is_truncated(response) is (len(given_records) < 40)
        assert given_records
