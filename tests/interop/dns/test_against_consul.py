"""Answer for answer as Consul 1.8.7 gives it, once its departures from the RFCs are switched on; and without, exactly where we differ."""

from __future__ import annotations

from collections.abc import Iterable

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from .conftest import HOST, Agent, Agents

pytestmark = pytest.mark.interop("consul")


def ask(agent: Agent, query: dns.message.Message, transport: str = "udp") -> dns.message.Message:
    exchange = dns.query.udp if transport == "udp" else dns.query.tcp
    return exchange(query, HOST, port=agent.dns_port, timeout=10.0)


def plain_query(name: str, qtype: str) -> dns.message.Message:
    return dns.message.make_query(name, qtype, use_edns=False)


def describe(message: dns.message.Message) -> dict[str, object]:
    """What must agree: code, flags, and every section as a set of lines; not the SOA serial, which is Consul's clock, nor the port
    of the agent's own service."""
    return {
        "rcode": message.rcode(),
        "flags": dns.flags.to_text(message.flags),
        "answer": describe_section(message.answer),
        "authority": describe_section(message.authority),
        "additional": describe_section(message.additional),
    }


def describe_section(section: Iterable[dns.rrset.RRset]) -> list[str]:
    texts = []
    for rrset in section:
        for rdata in rrset:
            text = rdata.to_text()
            if "consul-network-segment" in text:
                continue  # metadata that Consul gives its own node, and we do not (docs/differences.md)
            if rrset.rdtype == dns.rdatatype.SOA:
                text = " ".join("serial" if place == 2 else word for place, word in enumerate(text.split()))
            if rrset.rdtype == dns.rdatatype.SRV and str(rrset.name).lower().startswith("consul.service."):
                text = " ".join("port" if place == 2 else word for place, word in enumerate(text.split()))
            texts.append(f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {text}")
    return sorted(texts)


QUESTIONS = """
main.node.consul A / MAIN.Node.dc1.Consul A / main.node.consul AAAA / main.node.consul ANY / main.node.consul TXT / main.node.consul MX
main.node.consul SRV / main.node.consul SOA / main.node.consul NS / n1.node.consul A / n1.node.consul ANY / n1.node.consul AAAA
n3.node.consul A / n3.node.consul AAAA / n3.node.consul ANY / n4.node.consul A / n4.node.consul AAAA / rack.1.node.consul A
nobody.node.consul A / main.node.dc2.consul A / node.consul A / web.service.consul A / web.service.consul AAAA / web.service.consul SRV
web.service.consul ANY / web.service.consul TXT / web.service.consul MX / web.service.consul CNAME / web.service.consul NS
web.service.consul SOA / web.service.consul TYPE65 / WEB.Service.consul SRV / blue.web.service.consul A / v1.2.web.service.consul A
up.web.service.dc1.consul SRV / nope.web.service.consul A / _web._tcp.service.consul SRV / _web._tcp.service.consul A
_web._blue.service.consul SRV / _web._UP.service.consul SRV / _web._tcp.consul SRV / _web._blue.consul SRV / _web._tcp.dc1.consul SRV
_web._udp.service.consul SRV / _web._tcp.service.dc1.consul ANY / _tcp.service.consul A / web.service.dc1.consul A
web.service.dc2.consul A / web.service.dc1.extra.consul A / nobody.service.consul A / service.consul A / db.service.consul A
db.service.consul AAAA / db.service.consul SRV / db.service.consul TXT / db.service.consul CNAME / ext.service.consul A
ext.service.consul SRV / ext.service.consul ANY / ext.service.consul CNAME / six.service.consul A / six.service.consul AAAA
six.service.consul SRV / v6s.service.consul AAAA / v6s.service.consul SRV / v6s.service.consul A / down.service.consul A
down.service.consul SRV / worn.service.consul A / worn.service.consul SRV / mixed.service.consul A / mixed.service.consul SRV
pair.service.consul A / pair.service.consul SRV / upcase.service.consul SRV / consul.service.consul A / consul A / consul AAAA
consul SOA / consul NS / consul ANY / consul TXT / dc1.consul A / dc2.consul A / ns.consul A / x.consul A / 7f000001.addr.consul A
7f000001.addr.consul AAAA / 7f000001.addr.dc1.consul ANY / 7f000001.addr.dc2.consul A / a.7f000001.addr.consul A / addr.consul A
20010db8000000000000000000000004.addr.consul AAAA / 20010db8000000000000000000000004.addr.consul A / main.node.alt A / web.service.alt SRV
alt SOA / alt NS / nobody.service.alt A / web.connect.consul A / web.ingress.consul A / x.query.consul A / x.ns.consul A
www.example.com A / . A / 1.0.0.10.in-addr.arpa PTR / 9.9.9.10.in-addr.arpa PTR / 1.0.0.10.in-addr.arpa A
8.8.8.8.in-addr.arpa PTR / alias.service.consul A / alias.service.consul SRV / alias.service.consul AAAA / alias.service.consul ANY
n5.node.consul A
4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR
"""


BY_QUIRK = {
    "all_critical_nxdomain": "down.service.consul A / down.service.consul SRV",
    "empty_names_nxdomain": "consul A / consul AAAA / consul ANY / consul TXT / dc1.consul A / node.consul A / service.consul A / "
    "addr.consul A / _tcp.service.consul A / ns.consul A",
    "node_nodata_without_soa": "main.node.consul AAAA / main.node.consul MX / main.node.consul SRV / main.node.consul TXT / "
    "n1.node.consul AAAA / n4.node.consul A",
    "apex_records_everywhere": "main.node.consul NS / main.node.consul SOA / web.service.consul NS / web.service.consul SOA",
    "address_of_any_type": "7f000001.addr.consul AAAA / 20010db8000000000000000000000004.addr.consul A / 1.0.0.10.in-addr.arpa A",
    "txt_gives_addresses": "web.service.consul TXT",
    "primary_domain_only": "alt NS / alt SOA / nobody.service.alt A / web.service.alt SRV",
    "unknown_reverse_servfail": "8.8.8.8.in-addr.arpa PTR",
    "alias_ttl": "alias.service.consul A / alias.service.consul SRV",
    "alias_addresses": "alias.service.consul AAAA / alias.service.consul ANY",
}
"""Which quirk it takes to answer as Consul does; the other questions need none."""

ALL = [question.strip() for line in QUESTIONS.strip().splitlines() for question in line.split(" / ")]


@pytest.mark.parametrize("question", ALL)
def test_every_name_form_and_negative_rule_is_answered_as_consul_answers_it(agents: Agents, question: str) -> None:
    for transport in ("udp", "tcp"):
        query = plain_query(*question.split())
        assert describe(ask(agents.quirky, query, transport)) == describe(ask(agents.consul, query, transport))


def test_without_the_quirks_exactly_the_documented_questions_are_answered_otherwise(agents: Agents) -> None:
    """Over TCP, where nothing is cut. ``docs/differences.md`` has a line for each of these."""
    queries = {question: plain_query(*question.split()) for question in ALL}
    differing = {
        question
        for question, query in queries.items()
        if describe(ask(agents.plain, query, "tcp")) != describe(ask(agents.consul, query, "tcp"))
    }
    assert differing == {question for questions in BY_QUIRK.values() for question in questions.split(" / ")}


@pytest.mark.parametrize("qtype", ["A", "SRV"])
@pytest.mark.parametrize(("transport", "size"), [("udp", None), ("udp", 4096), ("tcp", None)])
def test_sixty_instances_are_cut_where_consul_cuts_them(agents: Agents, qtype: str, transport: str, size: int | None) -> None:
    query = dns.message.make_query("crowd.service.consul", qtype, use_edns=False if size is None else 0, payload=size or 0)
    own, theirs = ask(agents.quirky, query, transport), ask(agents.consul, query, transport)
    for section in ("answer", "additional"):
        assert len(describe_section(getattr(own, section))) == len(describe_section(getattr(theirs, section)))
    assert own.flags == theirs.flags


def test_within_1232_bytes_we_give_at_least_as_many(agents: Agents) -> None:
    query = dns.message.make_query("crowd.service.consul", "SRV", use_edns=0, payload=1232)
    own, theirs = ask(agents.quirky, query), ask(agents.consul, query)
    assert len(describe_section(own.answer)) >= len(describe_section(theirs.answer))


def test_what_consul_cuts_in_silence_carries_tc_unless_told_not_to(agents: Agents) -> None:
    query = plain_query("crowd.service.consul", "A")
    assert [bool(ask(agent, query).flags & dns.flags.TC) for agent in (agents.plain, agents.quirky, agents.consul)] == [True, False, False]


def test_the_client_subnet_comes_back_as_consul_gives_it(agents: Agents) -> None:
    query = dns.message.make_query("web.service.consul", "A", use_edns=0, options=[dns.edns.ECSOption("192.0.2.0", 24)])
    own, theirs = ask(agents.quirky, query), ask(agents.consul, query)
    assert [option.to_text() for option in own.options] == [option.to_text() for option in theirs.options]


@pytest.mark.parametrize("opcode", [dns.opcode.IQUERY, dns.opcode.STATUS, dns.opcode.UPDATE])
def test_other_opcodes_get_the_same_code(agents: Agents, opcode: dns.opcode.Opcode) -> None:
    query = plain_query("web.service.consul", "A")
    query.set_opcode(opcode)
    codes = [ask(agent, query).rcode() for agent in (agents.quirky, agents.consul)]
    assert codes == [dns.rcode.NOTIMP, dns.rcode.NOTIMP]


def test_both_keep_the_order_of_instances_moving(agents: Agents) -> None:
    seen: list[set[str]] = [set(), set()]
    for _ in range(40):
        for place, agent in enumerate((agents.quirky, agents.consul)):
            seen[place].update(describe_section(ask(agent, plain_query("crowd.service.consul", "A")).answer))
    assert min(len(each) for each in seen) > 30
