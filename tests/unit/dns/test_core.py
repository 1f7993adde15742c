"""What is kept, for how long, and in which order things come."""

from __future__ import annotations

import gc
import random
import tracemalloc
import weakref
from collections import Counter

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest

from rostra.dns.core import Core
from rostra.dns.glance import Lacking
from rostra.dns.settings import DnsSettings
from rostra.dns.wire import Transport
from rostra.model.catalog import Weights
from rostra.model.topics import SERVICES, Topic, TopicKind

from .support import CRITICAL, WARNING, Asker, Catalog, lines, make_instance


def test_a_name_that_is_registered_is_found_at_once_and_one_that_goes_is_gone() -> None:
    catalog = Catalog()
    node = catalog.node("n1")
    asker = Asker(catalog)
    assert asker.ask("web.service.consul").rcode() == dns.rcode.NXDOMAIN
    catalog.add(make_instance(node, "web"))
    assert asker.records("web.service.consul") == ["web.service.consul. A 10.0.0.1"]
    catalog.add(make_instance(node, "web", status=CRITICAL))
    assert asker.records("web.service.consul") == []
    catalog.remove("n1", "web")
    assert asker.ask("web.service.consul").rcode() == dns.rcode.NXDOMAIN


def test_a_node_that_changes_is_answered_anew_and_another_node_is_not() -> None:
    catalog = Catalog()
    catalog.node("n1", "10.0.0.1")
    catalog.node("n2", "10.0.0.2")
    asker = Asker(catalog)
    assert asker.records("n1.node.consul") == ["n1.node.consul. A 10.0.0.1"]
    catalog.node("n1", "10.0.0.9")
    assert asker.records("n1.node.consul") == ["n1.node.consul. A 10.0.0.9"]


def test_within_an_epoch_what_stands_is_not_looked_at_again() -> None:
    catalog = Catalog()
    catalog.node("n1")
    core = Core(DnsSettings(), random.Random(1))
    looks: list[Topic] = []

    def look(topic: Topic) -> object:
        looks.append(topic)
        return catalog.look(topic)

    message = dns.message.make_query("n1.node.consul", "A").to_wire()
    for epoch in (0, 7, 7, 7, 8):
        core.respond(message, Transport.UDP, look, epoch=epoch)  # type: ignore[arg-type]
    assert len(looks) == 3


def test_the_same_question_over_tcp_is_not_answered_from_what_was_cut_for_udp() -> None:
    catalog = Catalog()
    catalog.add(*(make_instance(catalog.node(f"n{i}", f"10.0.0.{i}"), "web") for i in range(9)))
    asker = Asker(catalog)
    assert len(asker.records("web.service.consul", edns=None)) == 3
    assert len(asker.records("web.service.consul", edns=None, transport=Transport.TCP)) == 9


@pytest.mark.parametrize("alone", [True, False])
def test_every_instance_comes_first_about_as_often_alone_and_in_a_crowd(alone: bool) -> None:
    catalog = Catalog()
    catalog.add(*(make_instance(catalog.node(f"n{i}", f"10.0.0.{i}"), "web") for i in range(5)))
    core = Core(DnsSettings(), random.Random(3))
    message = dns.message.make_query("web.service.consul", "A").to_wire()
    first: Counter[str] = Counter()
    for _ in range(2000):
        outcome = core.respond(message, Transport.UDP, catalog.look, epoch=5, alone=alone)
        assert isinstance(outcome, bytes)
        first[lines(dns.message.from_wire(outcome).answer)[0]] += 1
    assert len(first) == 5
    assert min(first.values()) > 250


def test_twice_the_weight_comes_first_twice_as_often_and_weight_0_last() -> None:
    catalog = Catalog()
    for name, weight, status in (("a", 2, None), ("b", 1, None), ("z", 5, WARNING)):
        node = catalog.node(name, f"10.0.0.{ord(name)}")
        weights = Weights(weight, 0)
        catalog.add(make_instance(node, "web", weights=weights, status=status) if status else make_instance(node, "web", weights=weights))
    asker = Asker(catalog)
    orders = [asker.records("web.service.consul") for _ in range(900)]
    first = Counter(order[0].split()[-1] for order in orders)
    assert 500 < first["10.0.0.97"] < 700
    assert {order[-1].split()[-1] for order in orders} == {"10.0.0.122"}
    assert {str(line.split()[3]) for line in asker.records("web.service.consul", "SRV")} == {"2", "1", "0"}


def test_what_is_kept_is_bounded_whatever_is_asked() -> None:
    catalog = Catalog()
    catalog.node("n1")
    core = Core(DnsSettings(max_cached_bytes=10_000), random.Random(1))
    for number in range(2000):
        message = dns.message.make_query(f"x{number}.node.consul", "A").to_wire()
        core.respond(message, Transport.UDP, catalog.look)
    store = core._store
    assert sum(finished.size for half in (store._young, store._old) for finished in half.values()) <= 11_000


def test_a_storm_of_names_that_do_not_exist_takes_no_more_memory_than_that() -> None:
    catalog = Catalog()
    catalog.node("n1")
    limit = 128 << 10
    core = Core(DnsSettings(max_cached_bytes=limit), random.Random(1))
    messages = [dns.message.make_query(f"x{number}.service.consul", "A").to_wire() for number in range(1000)]
    core.respond(messages[0], Transport.UDP, catalog.look)
    tracemalloc.start()
    try:
        for message in messages:
            core.respond(message, Transport.UDP, catalog.look)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 1.5 * limit
    finally:
        tracemalloc.stop()


def test_a_finished_answer_holds_no_view_that_was_let_go() -> None:
    catalog = Catalog()
    catalog.add(make_instance(catalog.node("n1"), "web"))
    core = Core(DnsSettings(), random.Random(1))
    assert isinstance(core.respond(dns.message.make_query("web.service.consul", "A").to_wire(), Transport.UDP, catalog.look), bytes)
    view = weakref.ref(catalog._views.pop(Topic(TopicKind.SERVICE, "web")))
    assert view() is None


def test_a_view_that_is_not_here_is_asked_for_by_its_topic() -> None:
    catalog = Catalog(subscribed=False)
    catalog.add(make_instance(catalog.node("n1"), "web"))
    core = Core(DnsSettings(), random.Random(1))

    def lacking(name: str, qtype: str) -> tuple[Topic, ...]:
        outcome = core.respond(dns.message.make_query(name, qtype).to_wire(), Transport.UDP, catalog.look)
        assert isinstance(outcome, Lacking), outcome
        return outcome.topics

    assert lacking("web.service.consul", "A") == (Topic(TopicKind.SERVICE, "web"),)
    assert lacking("9.9.9.10.in-addr.arpa", "PTR") == (Topic(TopicKind.SERVICE, "web"),)
    catalog.ready = False
    assert lacking("nobody.service.consul", "A") == (SERVICES,)


def test_what_asks_nothing_gets_nothing() -> None:
    core = Core(DnsSettings(), random.Random(1))
    response = dns.message.make_query("n1.node.consul", "A")
    response.flags |= dns.flags.QR
    for message in (b"", b"\0" * 11, response.to_wire()):
        assert core.respond(message, Transport.UDP, Catalog().look) is None


def test_other_opcodes_are_not_implemented() -> None:
    query = dns.message.make_query("n1.node.consul", "A")
    for opcode in (dns.opcode.IQUERY, dns.opcode.STATUS, dns.opcode.NOTIFY, dns.opcode.UPDATE, 15):
        query.flags = dns.opcode.to_flags(opcode)  # type: ignore[arg-type]
        wire = Core(DnsSettings(), random.Random(1)).respond(query.to_wire(), Transport.UDP, Catalog().look)
        assert isinstance(wire, bytes)
        assert wire[3] & 0xF == dns.rcode.NOTIMP
        assert (wire[2] >> 3) & 0xF == opcode


HEADER = bytes.fromhex("abcd 0100 0001 0000 0000")
QUESTION = b"\x02n1\x04node\x06consul\0\0\x01\0\x01"
OPT = b"\0\0\x29\x10\0\0\0\0\0"


@pytest.mark.parametrize(
    "message",
    [
        bytes.fromhex("abcd 0100 0000 0000 0000 0000"),
        bytes.fromhex("abcd 0100 0002 0000 0000 0000") + QUESTION + QUESTION,
        bytes.fromhex("abcd 0100 0001 0001 0000 0000") + QUESTION,
        HEADER + b"\0\0" + QUESTION[:-1],
        HEADER + b"\0\0" + QUESTION + b"x",
        HEADER + b"\0\0" + b"\xc0\x0c\0\x01\0\x01",
        HEADER + b"\0\0" + b"\x40" + b"a" * 64 + b"\0\0\x01\0\x01",
        HEADER + b"\0\0" + b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\0\0\x01\0\x01",
        HEADER + b"\0\x01" + QUESTION,
        HEADER + b"\0\x02" + QUESTION + OPT + b"\0\0" + OPT + b"\0\0",
        HEADER + b"\0\x01" + QUESTION + OPT + b"\0\x09",
        HEADER + b"\0\x01" + QUESTION + OPT + b"\0\x04" + b"\0\x0a\0\x08",
        HEADER + b"\0\x01" + QUESTION + OPT + b"\0\x09" + b"\0\x08\0\x05" + b"\0\x01\x21\0\x01",
        HEADER + b"\0\x01" + QUESTION + b"\x01a" + OPT + b"\0\0",
    ],
    ids=["no question", "two questions", "an answer in a question", "cut short", "bytes left over", "a pointer", "a label of 64",
         "a name of 257", "a record missing", "two OPT", "OPT cut short", "an option cut short", "a subnet of 33 bits",
         "an OPT with an owner"],
)  # fmt: skip
def test_a_malformed_question_gets_formerr(message: bytes) -> None:
    outcome = Core(DnsSettings(), random.Random(1)).respond(message, Transport.UDP, Catalog().look)
    assert isinstance(outcome, bytes)
    assert outcome[:2] == message[:2]
    assert outcome[3] & 0xF == dns.rcode.FORMERR


def test_a_name_of_255_bytes_is_read() -> None:
    labels = (b"\x3f" + b"a" * 63) * 3 + b"\x2d" + b"a" * 45
    message = HEADER + b"\0\0" + labels + b"\x04node\x06consul\0" + b"\0\x01\0\x01"
    assert len(labels) + 13 == 251
    outcome = Core(DnsSettings(), random.Random(1)).respond(message, Transport.UDP, Catalog().look)
    assert isinstance(outcome, bytes)
    assert outcome[3] & 0xF == dns.rcode.NXDOMAIN
