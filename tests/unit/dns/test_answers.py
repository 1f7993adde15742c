"""Every form of names, and what is answered where there is nothing, as correct DNS has it."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from rostra.dns.settings import Compatibility, DnsSettings, SoaSettings
from rostra.model.catalog import ServiceAddress

from .support import CRITICAL, WARNING, Asker, Catalog, lines, make_instance

SOA = "consul. SOA ns.consul. hostmaster.consul."


@pytest.fixture
def catalog() -> Catalog:
    catalog = Catalog()
    n1 = catalog.node("n1", "10.0.0.1", meta={"k": "v", "rfc1035-t": "text"})
    n2 = catalog.node("n2", "10.0.0.2")
    six = catalog.node("six", "2001:db8::4")
    both = catalog.node("both", "10.0.0.3", lan_ipv6="2001:db8::3")
    elsewhere = catalog.node("elsewhere", "host.example.com")
    dotted = catalog.node("rack.1", "10.0.0.7")
    catalog.add(
        make_instance(n1, "consul", port=8300),
        make_instance(n1, "web", tags=["Blue", "v1.2"]),
        make_instance(n2, "web", port=81, address="10.9.9.9"),
        make_instance(six, "web6", port=6),
        make_instance(both, "dual"),
        make_instance(elsewhere, "db", port=5432),
        make_instance(n2, "alias", address="web.service.consul"),
        make_instance(n2, "lost", address="nobody.service.consul"),
        make_instance(n1, "ring", address="ring2.service.consul"),
        make_instance(n1, "ring2", address="ring.service.consul"),
        make_instance(n1, "mixed"),
        make_instance(n2, "mixed", address="www.example.org"),
        make_instance(n2, "down", status=CRITICAL, tags=["red"]),
        make_instance(n2, "worn", status=WARNING),
        make_instance(dotted, "UpCase", port=9),
        make_instance(n2, "tagged", tagged={"lan_ipv6": ServiceAddress("2001:db8::9", 1)}),
    )
    return catalog


@pytest.fixture
def asker(catalog: Catalog) -> Asker:
    return Asker(catalog)


def reason(message: dns.message.Message) -> str:
    """The text of the extended error."""
    return next((option.text or "" for option in message.options if isinstance(option, dns.edns.EDEOption)), "")


POSITIVE = [
    ("n1.node.consul", "A", ["n1.node.consul. A 10.0.0.1"]),
    ("N1.Node.dc1.CONSUL", "A", ["N1.Node.dc1.CONSUL. A 10.0.0.1"]),
    ("six.node.consul", "AAAA", ["six.node.consul. AAAA 2001:db8::4"]),
    ("both.node.consul", "ANY", ["both.node.consul. A 10.0.0.3", "both.node.consul. AAAA 2001:db8::3"]),
    ("n1.node.consul", "TXT", ['n1.node.consul. TXT "k=v"', 'n1.node.consul. TXT "text"']),
    ("n1.node.consul", "ANY", ["n1.node.consul. A 10.0.0.1", 'n1.node.consul. TXT "k=v"', 'n1.node.consul. TXT "text"']),
    ("rack.1.node.consul", "A", ["rack.1.node.consul. A 10.0.0.7"]),
    ("elsewhere.node.consul", "A", ["elsewhere.node.consul. CNAME host.example.com."]),
    ("elsewhere.node.consul", "TXT", ["elsewhere.node.consul. CNAME host.example.com."]),
    ("web.service.consul", "A", ["web.service.consul. A 10.0.0.1", "web.service.consul. A 10.9.9.9"]),
    ("blue.web.service.consul", "A", ["blue.web.service.consul. A 10.0.0.1"]),
    ("v1.2.web.service.dc1.consul", "A", ["v1.2.web.service.dc1.consul. A 10.0.0.1"]),
    (
        "_web._tcp.service.consul",
        "SRV",
        ["_web._tcp.service.consul. SRV 1 1 80 n1.node.dc1.consul.", "_web._tcp.service.consul. SRV 1 1 81 0a090909.addr.dc1.consul."],
    ),
    ("_web._blue.consul", "SRV", ["_web._blue.consul. SRV 1 1 80 n1.node.dc1.consul."]),
    ("web6.service.consul", "SRV", ["web6.service.consul. SRV 1 1 6 six.node.dc1.consul."]),
    ("db.service.consul", "SRV", ["db.service.consul. SRV 1 1 5432 host.example.com."]),
    ("db.service.consul", "A", ["db.service.consul. CNAME host.example.com."]),
    ("db.service.consul", "CNAME", ["db.service.consul. CNAME host.example.com."]),
    ("upcase.service.consul", "SRV", ["upcase.service.consul. SRV 1 1 9 rack.1.node.dc1.consul."]),
    ("dual.service.consul", "AAAA", ["dual.service.consul. AAAA 2001:db8::3"]),
    ("tagged.service.consul", "AAAA", ["tagged.service.consul. AAAA 2001:db8::9"]),
    ("worn.service.consul", "A", ["worn.service.consul. A 10.0.0.2"]),
    ("mixed.service.consul", "A", ["mixed.service.consul. A 10.0.0.1"]),
    ("7f000001.addr.consul", "A", ["7f000001.addr.consul. A 127.0.0.1"]),
    ("consul", "NS", ["consul. NS n1.node.dc1.consul."]),
    ("ns.consul", "A", ["ns.consul. A 10.0.0.1"]),
    ("1.0.0.10.in-addr.arpa", "PTR", ["1.0.0.10.in-addr.arpa. PTR n1.node.dc1.consul."]),
    ("9.9.9.10.in-addr.arpa", "PTR", ["9.9.9.10.in-addr.arpa. PTR web.service.dc1.consul."]),
    (
        "4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
        "PTR",
        ["4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR six.node.dc1.consul."],
    ),
]


@pytest.mark.parametrize(("name", "qtype", "expected"), POSITIVE)
def test_a_name_that_exists_gives_its_records_and_the_case_it_was_asked_in(
    asker: Asker, name: str, qtype: str, expected: list[str]
) -> None:
    response = asker.ask(name, qtype)
    assert response.rcode() == dns.rcode.NOERROR
    assert response.flags & dns.flags.AA
    assert not response.flags & dns.flags.RA
    assert sorted(lines(response.answer)) == sorted(expected)


NO_DATA = [
    "n1.node.consul AAAA",
    "n1.node.consul SRV",
    "web.service.consul AAAA",
    "web.service.consul TXT",
    "web.service.consul MX",
    "consul A",
    "dc1.consul A",
    "node.consul A",
    "service.consul A",
    "_tcp.service.consul A",
    "2.web.service.consul A",
    "1.node.consul A",
    "7f000001.addr.consul AAAA",
    "down.service.consul A",
    "red.down.service.consul SRV",
    "ns.consul TXT",
    "n1.node.consul NS",
    "web.service.consul SOA",
]


@pytest.mark.parametrize("question", NO_DATA)
def test_a_name_without_such_records_gives_nodata_with_soa(asker: Asker, question: str) -> None:
    response = asker.ask(*question.split())
    assert response.rcode() == dns.rcode.NOERROR
    assert response.answer == []
    assert lines(response.authority)[0].startswith(SOA)


NO_NAME = [
    "nobody.node.consul A",
    "nobody.service.consul A",
    "nope.web.service.consul A",
    "x.consul A",
    "n1.node.dc2.consul A",
    "zz.addr.consul A",
    "x.query.consul A",
    "web.connect.consul A",
    "x.7f000001.addr.consul A",
    "nobody.node.consul TXT",
]


@pytest.mark.parametrize("question", NO_NAME)
def test_a_name_that_does_not_exist_gives_nxdomain_with_soa_and_a_reason(asker: Asker, question: str) -> None:
    response = asker.ask(*question.split())
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert response.answer == []
    assert lines(response.authority)[0].startswith(SOA)
    assert reason(response)


def test_a_service_whose_instances_are_all_critical_exists_and_the_answer_says_so(asker: Asker) -> None:
    assert reason(asker.ask("down.service.consul")) == "every instance is critical (1)"
    assert not asker.ask("down.service.consul", edns=None).options


@pytest.mark.parametrize("question", ["www.example.com A", ". A", "8.8.8.8.in-addr.arpa PTR", "consul.example A"])
def test_what_is_outside_of_the_domain_is_refused(asker: Asker, question: str) -> None:
    response = asker.ask(*question.split())
    assert response.rcode() == dns.rcode.REFUSED
    assert not response.flags & dns.flags.AA
    assert response.authority == []


def test_srv_brings_addresses_and_metadata_of_its_targets(asker: Asker) -> None:
    response = asker.ask("web.service.consul", "SRV")
    assert sorted(lines(response.additional)) == [
        "0a090909.addr.dc1.consul. A 10.9.9.9",
        "n1.node.dc1.consul. A 10.0.0.1",
        'n1.node.dc1.consul. TXT "k=v"',
        'n1.node.dc1.consul. TXT "text"',
    ]


def test_an_address_brings_the_nodes_metadata_unless_told_not_to(catalog: Catalog) -> None:
    assert len(Asker(catalog).ask("n1.node.consul", "A").additional) == 1
    plain = Asker(catalog, DnsSettings(enable_additional_node_meta_txt=False))
    assert plain.ask("n1.node.consul", "A").additional == []
    assert all("TXT" not in line for line in lines(plain.ask("web.service.consul", "SRV").additional))
    assert len(plain.records("n1.node.consul", "TXT")) == 2


def test_the_apex_names_the_servers_and_brings_their_addresses(asker: Asker) -> None:
    response = asker.ask("consul", "SOA")
    assert lines(response.answer)[0].startswith(SOA)
    assert lines(response.authority) == ["consul. NS n1.node.dc1.consul."]
    assert lines(response.additional) == ["n1.node.dc1.consul. A 10.0.0.1"]


def test_an_alias_within_the_domain_is_followed(asker: Asker) -> None:
    answer = asker.records("alias.service.consul")
    assert answer[0] == "alias.service.consul. CNAME web.service.consul."
    assert sorted(answer[1:]) == ["web.service.consul. A 10.0.0.1", "web.service.consul. A 10.9.9.9"]
    assert asker.records("alias.service.consul", "CNAME") == ["alias.service.consul. CNAME web.service.consul."]


def test_srv_brings_the_addresses_of_a_target_that_is_another_name_of_ours(asker: Asker, catalog: Catalog) -> None:
    response = asker.ask("alias.service.consul", "SRV")
    assert lines(response.answer) == ["alias.service.consul. SRV 1 1 80 web.service.consul."]
    assert sorted(lines(response.additional)) == ["web.service.consul. A 10.0.0.1", "web.service.consul. A 10.9.9.9"]
    catalog.remove("n2", "web")
    assert lines(asker.ask("alias.service.consul", "SRV").additional) == ["web.service.consul. A 10.0.0.1"]
    assert asker.ask("ring.service.consul", "SRV").rcode() == dns.rcode.NOERROR


def test_the_response_code_is_that_of_the_last_alias(asker: Asker) -> None:
    """RFC 6604."""
    response = asker.ask("lost.service.consul")
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert lines(response.answer) == ["lost.service.consul. CNAME nobody.service.consul."]


def test_aliases_that_go_round_end(asker: Asker) -> None:
    assert asker.ask("ring.service.consul").rcode() == dns.rcode.NOERROR


def test_several_hosts_elsewhere_give_one_alias_at_a_time_and_each_in_time() -> None:
    catalog = Catalog()
    catalog.add(*(make_instance(catalog.node(f"n{i}", f"10.0.0.{i}"), "ext", address=f"h{i}.example.org") for i in range(3)))
    asker = Asker(catalog)
    answers = [asker.records("ext.service.consul") for _ in range(50)]
    assert {len(answer) for answer in answers} == {1}
    assert len({answer[0] for answer in answers}) == 3


def test_only_passing_leaves_out_instances_in_warning(catalog: Catalog) -> None:
    response = Asker(catalog, DnsSettings(only_passing=True)).ask("worn.service.consul")
    assert response.answer == []
    assert reason(response) == "no instance is passing"


def test_ttls_are_by_node_and_by_service_the_exact_name_before_the_longest_prefix(catalog: Catalog) -> None:
    settings = DnsSettings(node_ttl_s=5, service_ttl_s={"*": 1, "w*": 2, "web": 3, "we*": 4}, soa=SoaSettings(min_ttl_s=7))
    asker = Asker(catalog, settings)

    def ttl(name: str, qtype: str = "A") -> int:
        return int(asker.ask(name, qtype).answer[0].ttl)

    assert [ttl(f"{name}.service.consul", "ANY") for name in ("web", "web6", "worn", "mixed")] == [3, 4, 2, 1]
    assert ttl("n1.node.consul") == 5
    assert ttl("db.service.consul") == 1
    assert asker.ask("nobody.node.consul").authority[0].ttl == 7


def test_the_alternative_domain_answers_in_its_own_name(catalog: Catalog) -> None:
    asker = Asker(catalog, DnsSettings(alt_domain="alt.example."))
    assert "web.service.alt.example. SRV 1 1 80 n1.node.dc1.alt.example." in asker.records("web.service.alt.example", "SRV")
    assert lines(asker.ask("nobody.node.alt.example").authority)[0].startswith("alt.example. SOA ns.alt.example.")
    assert asker.records("1.0.0.10.in-addr.arpa", "PTR") == ["1.0.0.10.in-addr.arpa. PTR n1.node.dc1.consul."]


def test_a_node_that_dns_cannot_name_is_named_by_its_address() -> None:
    catalog = Catalog()
    catalog.add(make_instance(catalog.node("n" * 64, "10.0.0.1"), "web"))
    asker = Asker(catalog)
    assert asker.records("web.service.consul", "SRV") == ["web.service.consul. SRV 1 1 80 0a000001.addr.dc1.consul."]
    assert asker.records("consul", "NS") == []


def test_other_classes_are_refused_and_transfers_too(asker: Asker) -> None:
    assert asker.ask("n1.node.consul", "A", rdclass="CH").rcode() == dns.rcode.REFUSED
    assert asker.ask("consul", "AXFR").rcode() == dns.rcode.REFUSED
    assert asker.ask("consul", "TYPE249").rcode() == dns.rcode.NOTIMP


def test_each_quirk_of_consul_can_be_had_back(catalog: Catalog) -> None:
    def quirky(**quirks: bool) -> Asker:
        return Asker(catalog, DnsSettings(alt_domain="alt", compat=Compatibility(**quirks)))

    assert quirky(all_critical_nxdomain=True).ask("down.service.consul").rcode() == dns.rcode.NXDOMAIN
    for empty in ("consul", "dc1.consul", "node.consul", "ns.consul"):
        assert quirky(empty_names_nxdomain=True).ask(empty, "TXT").rcode() == dns.rcode.NXDOMAIN
    assert quirky(node_nodata_without_soa=True).ask("n1.node.consul", "AAAA").authority == []
    assert quirky(apex_records_everywhere=True).records("web.service.consul", "NS") == ["consul. NS n1.node.dc1.consul."]
    assert quirky(address_of_any_type=True).records("7f000001.addr.consul", "AAAA") == ["7f000001.addr.consul. A 127.0.0.1"]
    assert len(quirky(txt_gives_addresses=True).records("web.service.consul", "TXT")) == 2
    assert "n1.node.dc1.consul." in str(quirky(primary_domain_only=True).records("web.service.alt", "SRV"))
    unknown = quirky(unknown_reverse_servfail=True).ask("8.8.8.8.in-addr.arpa", "PTR")
    assert (unknown.rcode(), bool(unknown.flags & dns.flags.RA)) == (dns.rcode.SERVFAIL, True)
    assert len(quirky(alias_addresses=True).records("alias.service.consul", "AAAA")) == 3
    ttls = DnsSettings(service_ttl_s={"alias": 9, "web": 3}, compat=Compatibility(alias_ttl=True))
    assert [rrset.ttl for rrset in Asker(catalog, ttls).ask("alias.service.consul").answer] == [9, 9]
    assert [rrset.ttl for rrset in Asker(catalog, ttls).ask("alias.service.consul", "SRV").additional] == [9]
    assert quirky(lenient_questions=True).ask("n1.node.consul", "A", rdclass="CH").rcode() == dns.rcode.NOERROR
