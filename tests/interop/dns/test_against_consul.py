"""Answer for answer as Consul 1.8.7 gives it, once its departures from the RFCs are switched on."""

from __future__ import annotations

import random
from collections.abc import Iterable

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import dns.rrset
import pytest

from rostra.dns.settings import Compatibility, DnsSettings, SoaSettings
from rostra.dns.wire import Transport
from rostra.model.catalog import HealthStatus, Weights

from ...unit.dns.support import Asker, Catalog, make_instance
from .conftest import HOST, Consul

pytestmark = pytest.mark.interop("consul")

ALL_QUIRKS = Compatibility(**dict.fromkeys(Compatibility.__dataclass_fields__, True))
SETTINGS = DnsSettings(
    alt_domain="alt",
    node_ttl_s=7,
    service_ttl_s={"web": 3, "d*": 4, "*": 5},
    soa=SoaSettings(min_ttl_s=6),
    enable_truncate=False,
    compat=ALL_QUIRKS,
)

NODES: dict[str, tuple[str, dict[str, str]]] = {
    "n1": ("10.0.0.1", {"k": "v", "rfc1035-t": "text"}),
    "n2": ("10.0.0.2", {}),
    "n3": ("host.example.com", {}),
    "n4": ("2001:db8::4", {}),
    "rack.1": ("10.0.0.7", {}),
}
SERVICES: list[dict[str, object]] = [
    {"node": "n1", "service": "web", "port": 80, "tags": ["blue", "v1.2"]},
    {"node": "n2", "service": "web", "port": 81, "address": "10.9.9.9", "tags": ["UP"]},
    {"node": "n3", "service": "db", "port": 5432},
    {"node": "n4", "service": "six", "port": 6},
    {"node": "n2", "service": "v6s", "port": 7, "address": "2001:db8::99"},
    {"node": "n2", "service": "ext", "port": 8, "address": "www.example.org"},
    {"node": "n2", "service": "alias", "port": 9, "address": "web.service.consul"},
    {"node": "n2", "service": "down", "port": 10, "status": "critical"},
    {"node": "n2", "service": "worn", "port": 11, "status": "warning", "weights": (10, 3)},
    {"node": "n1", "service": "mixed", "port": 12},
    {"node": "n3", "service": "mixed", "port": 13},
    {"node": "n1", "service": "pair", "port": 14, "service_id": "pair-1"},
    {"node": "n1", "service": "pair", "port": 15, "service_id": "pair-2"},
    {"node": "rack.1", "service": "UpCase", "port": 16},
]
CROWD = 60


@pytest.fixture(scope="module")
def ours(consul: Consul) -> Asker:
    """The same registrations on both sides."""
    catalog = Catalog()
    catalog.add(make_instance(catalog.node("main", HOST, meta={"consul-network-segment": ""}), "consul", port=8300))
    for name, (address, meta) in NODES.items():
        catalog.node(name, address, meta=meta)
        consul.register({"Node": name, "Address": address, "NodeMeta": meta})
    for entry in SERVICES + [{"node": f"c{number}", "service": "crowd", "port": 1000} for number in range(CROWD)]:
        register(consul, catalog, dict(entry))
    return Asker(catalog, SETTINGS)


def register(consul: Consul, catalog: Catalog, entry: dict[str, object]) -> None:
    name, service = str(entry.pop("node")), str(entry.pop("service"))
    node = catalog.nodes.get(name) or catalog.node(name, f"10.3.0.{name[1:]}")
    status = str(entry.pop("status", "passing"))
    weights = Weights(*entry.pop("weights", (1, 1)))  # type: ignore[misc]
    instance = make_instance(node, service, status=HealthStatus(status), weights=weights, **entry)  # type: ignore[arg-type]
    catalog.add(instance)
    made = instance.service
    consul.register(
        {
            "Node": node.name,
            "Address": node.address,
            "Service": {
                "ID": made.id,
                "Service": made.name,
                "Port": made.port,
                "Address": made.address,
                "Tags": list(made.tags),
                "Weights": {"Passing": weights.passing, "Warning": weights.warning},
            },
            "Check": {"Name": "check", "CheckID": f"service:{made.id}", "ServiceID": made.id, "Status": status},
            "SkipNodeUpdate": True,
        }
    )


def describe(message: dns.message.Message) -> dict[str, object]:
    """What must agree: code, flags, and every section as a set of lines; not the SOA serial, which is Consul's clock."""
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
            if rrset.rdtype == dns.rdatatype.SOA:
                text = " ".join("serial" if place == 2 else word for place, word in enumerate(text.split()))
            texts.append(f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {text}")
    return sorted(texts)


def ask_consul(consul: Consul, query: dns.message.Message, transport: Transport) -> dns.message.Message:
    exchange = dns.query.udp if transport is Transport.UDP else dns.query.tcp
    return exchange(query, HOST, port=consul.dns_port, timeout=5.0)


def ask_both(
    consul: Consul, ours: Asker, query: dns.message.Message, transport: Transport
) -> tuple[dns.message.Message, dns.message.Message]:
    return ask_consul(consul, query, transport), dns.message.from_wire(ours.wire(query, transport))


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
4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR
"""


@pytest.mark.parametrize("question", [question.strip() for line in QUESTIONS.strip().splitlines() for question in line.split(" / ")])
def test_every_name_form_and_negative_rule_is_answered_as_consul_answers_it(consul: Consul, ours: Asker, question: str) -> None:
    for transport in Transport:
        name, qtype = question.split()
        query = dns.message.make_query(name, qtype, use_edns=False)
        theirs, own = ask_both(consul, ours, query, transport)
        assert describe(own) == describe(theirs)


def test_records_that_an_alias_leads_to_keep_their_own_ttl_where_consul_gives_them_the_aliass(consul: Consul, ours: Asker) -> None:
    theirs, own = ask_both(consul, ours, dns.message.make_query("alias.service.consul", "A", use_edns=False), Transport.UDP)
    assert [rrset.ttl for rrset in theirs.answer] == [5, 5]
    assert [rrset.ttl for rrset in own.answer] == [5, 3]
    assert [rrset.to_rdataset() for rrset in own.answer] == [rrset.to_rdataset() for rrset in theirs.answer]


def test_recursion_is_not_offered_where_there_is_none_although_consul_does_for_reversed_names(consul: Consul, ours: Asker) -> None:
    theirs, own = ask_both(consul, ours, dns.message.make_query("8.8.8.8.in-addr.arpa", "PTR", use_edns=False), Transport.UDP)
    assert own.rcode() == theirs.rcode()
    assert own.flags == theirs.flags & ~dns.flags.RA


@pytest.mark.parametrize("qtype", ["A", "SRV"])
@pytest.mark.parametrize(("transport", "size"), [(Transport.UDP, None), (Transport.UDP, 4096), (Transport.TCP, None)])
def test_sixty_instances_are_cut_where_consul_cuts_them(
    consul: Consul, ours: Asker, qtype: str, transport: Transport, size: int | None
) -> None:
    query = dns.message.make_query("crowd.service.consul", qtype, use_edns=False if size is None else 0, payload=size or 0)
    theirs, own = ask_both(consul, ours, query, transport)
    for section in ("answer", "additional"):
        assert len(describe_section(getattr(own, section))) == len(describe_section(getattr(theirs, section)))
    assert own.flags == theirs.flags


def test_within_1232_bytes_we_give_at_least_as_many(consul: Consul, ours: Asker) -> None:
    query = dns.message.make_query("crowd.service.consul", "SRV", use_edns=0, payload=1232)
    theirs, own = ask_both(consul, ours, query, Transport.UDP)
    assert len(describe_section(own.answer)) >= len(describe_section(theirs.answer))


def test_the_client_subnet_comes_back_as_consul_gives_it(consul: Consul, ours: Asker) -> None:
    query = dns.message.make_query("web.service.consul", "A", use_edns=0, options=[dns.edns.ECSOption("192.0.2.0", 24)])
    theirs, own = ask_both(consul, ours, query, Transport.UDP)
    assert [option.to_text() for option in own.options] == [option.to_text() for option in theirs.options]


def test_both_keep_the_order_of_instances_moving(consul: Consul, ours: Asker) -> None:
    query = dns.message.make_query("crowd.service.consul", "A", use_edns=False)
    source = random.Random(1)
    seen: list[set[str]] = [set(), set()]
    for _ in range(40):
        query.id = source.randrange(65536)
        for place, message in enumerate(ask_both(consul, ours, query, Transport.UDP)):
            seen[place].update(describe_section(message.answer))
    assert min(len(each) for each in seen) > 30
