"""What fits where: sizes, limits, truncation, compression, EDNS."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from rostra.dns.settings import Compatibility, DnsSettings
from rostra.dns.wire import Transport

from .support import Asker, Catalog, is_truncated, lines, make_instance


def fleet(size: int, *, meta: dict[str, str] | None = None) -> Catalog:
    catalog = Catalog()
    nodes = [catalog.node(f"host-{number}", f"10.1.{number // 256}.{number % 256}", meta=meta) for number in range(size)]
    catalog.add(*(make_instance(node, "web") for node in nodes))
    return catalog


@pytest.fixture(scope="module")
def sixty() -> Catalog:
    return fleet(60)


def test_without_edns_udp_gives_three_and_says_that_there_are_more(sixty: Catalog) -> None:
    response = Asker(sixty).ask("web.service.consul", edns=None)
    assert len(lines(response.answer)) == 3
    assert is_truncated(response)


def test_the_limit_can_be_lifted_and_then_512_bytes_decide(sixty: Catalog) -> None:
    asker = Asker(sixty, DnsSettings(udp_answer_limit=0))
    query = dns.message.make_query("web.service.consul", "A", use_edns=False)
    wire = asker.wire(query)
    assert 512 - 16 < len(wire) <= 512
    assert is_truncated(dns.message.from_wire(wire))


@pytest.mark.parametrize(("size", "is_whole"), [(512, False), (1006, False), (1007, True), (4096, True)])
def test_edns_says_how_much_may_come(sixty: Catalog, size: int, is_whole: bool) -> None:
    query = dns.message.make_query("web.service.consul", "A", use_edns=0, payload=size)
    wire = Asker(sixty).wire(query)
    assert len(wire) <= size
    assert is_truncated(dns.message.from_wire(wire)) is not is_whole


def test_a_payload_size_below_512_counts_as_512(sixty: Catalog) -> None:
    query = dns.message.make_query("web.service.consul", "A", use_edns=0, payload=100)
    assert 400 < len(Asker(sixty).wire(query)) <= 512


def test_no_answer_over_udp_exceeds_the_settings_whatever_the_client_allows(sixty: Catalog) -> None:
    query = dns.message.make_query("web.service.consul", "SRV", use_edns=0, payload=65535)
    assert len(Asker(sixty, DnsSettings(edns_size_max=1232)).wire(query)) <= 1232


def test_a_cut_srv_answer_keeps_the_addresses_of_what_it_gives(sixty: Catalog) -> None:
    response = Asker(sixty).ask("web.service.consul", "SRV", edns=1232)
    targets = {str(record.target) for record in response.answer[0]}
    assert is_truncated(response)
    assert 15 < len(targets) < 60
    assert {line.split()[0] for line in lines(response.additional)} == targets


def test_additional_records_are_left_out_without_saying_so() -> None:
    """RFC 2181 section 9: TC is not for what could merely have been added."""
    asker = Asker(fleet(3, meta={"note": "x" * 400}))
    response = asker.ask("web.service.consul", "SRV", edns=1232)
    assert len(lines(response.answer)) == 3
    assert len(response.additional) < 6
    assert not is_truncated(response)


def test_of_a_nodes_metadata_all_comes_along_or_none() -> None:
    catalog = Catalog()
    catalog.node("n1", meta={f"key-{number}": "x" * 100 for number in range(8)})
    response = Asker(catalog).ask("n1.node.consul", "A", edns=None)
    assert response.additional == []
    assert not is_truncated(response)
    assert is_truncated(Asker(catalog).ask("n1.node.consul", "TXT", edns=None))
    assert len(lines(Asker(catalog).ask("n1.node.consul", "A", edns=1232).additional)) == 8


def test_tcp_gives_everything(sixty: Catalog) -> None:
    response = Asker(sixty).ask("web.service.consul", "SRV", edns=None, transport=Transport.TCP)
    assert len(lines(response.answer)) == len(lines(response.additional)) == 60
    assert not is_truncated(response)


def test_beyond_64_kib_tcp_is_cut_too_and_says_so() -> None:
    query = dns.message.make_query("web.service.consul", "SRV", use_edns=False)
    wire = Asker(fleet(2000)).wire(query, Transport.TCP)
    assert 60_000 < len(wire) <= 65535
    assert is_truncated(dns.message.from_wire(wire))


def test_a_cut_is_not_told_where_truncation_is_disabled(sixty: Catalog) -> None:
    assert not is_truncated(Asker(sixty, DnsSettings(enable_truncate=False)).ask("web.service.consul", edns=None))


def test_the_address_limit_holds_on_every_transport_and_is_no_truncation(sixty: Catalog) -> None:
    asker = Asker(sixty, DnsSettings(a_record_limit=5))
    for transport in Transport:
        response = asker.ask("web.service.consul", transport=transport)
        assert len(lines(response.answer)) == 5
        assert not is_truncated(response)
    assert len(asker.records("web.service.consul", "SRV", transport=Transport.TCP)) == 60


def test_without_compression_names_are_written_in_full(sixty: Catalog) -> None:
    query = dns.message.make_query("web.service.consul", "SRV", use_edns=0, payload=4096)
    plain = Asker(sixty, DnsSettings(disable_compression=True)).wire(query)
    assert b"\xc0\x0c" not in plain
    assert len(plain) > len(Asker(sixty).wire(query))
    assert len(lines(dns.message.from_wire(plain).answer)) > 10


def test_two_instances_on_a_node_bring_its_address_once_unless_the_quirk_is_on() -> None:
    catalog = Catalog()
    node = catalog.node("n1", "10.0.0.1")
    catalog.add(*(make_instance(node, "web", service_id=f"web-{port}", port=port) for port in (1, 2)))
    response = Asker(catalog).ask("web.service.consul", "SRV")
    assert len(lines(response.answer)) == 2
    assert lines(response.additional) == ["n1.node.dc1.consul. A 10.0.0.1"]
    assert Asker(catalog).records("web.service.consul") == ["web.service.consul. A 10.0.0.1"]
    quirky = Asker(catalog, DnsSettings(compat=Compatibility(repeated_additional=True)))
    assert quirky.wire(dns.message.make_query("web.service.consul", "SRV"))[11] == 2


def test_the_client_subnet_comes_back_with_scope_0(sixty: Catalog) -> None:
    """RFC 7871 section 7.2.1: the answer is the same for everyone."""
    subnet = dns.edns.ECSOption("192.0.2.0", 24)
    (option,) = Asker(sixty).ask("host-1.node.consul", options=[subnet]).options
    assert option.to_text() == "ECS 192.0.2.0/24 scope/0"


def test_a_later_version_of_edns_gets_badvers(sixty: Catalog) -> None:
    response = Asker(sixty).ask("host-1.node.consul", edns=1232)
    assert response.edns == 0
    query = dns.message.make_query("host-1.node.consul", "A", use_edns=1)
    assert dns.message.from_wire(Asker(sixty).wire(query)).rcode() == dns.rcode.BADVERS


def test_dnssec_ok_and_checking_disabled_come_back(sixty: Catalog) -> None:
    """RFC 3225 section 3; RFC 4035 section 3.1.6."""
    query = dns.message.make_query("host-1.node.consul", "A", want_dnssec=True)
    query.flags |= dns.flags.CD
    response = dns.message.from_wire(Asker(sixty).wire(query))
    assert response.ednsflags & dns.flags.DO
    assert response.flags & dns.flags.CD
    assert not response.flags & dns.flags.AD


def test_a_cut_answer_says_so_in_words_where_there_is_edns(sixty: Catalog) -> None:
    response = Asker(sixty).ask("web.service.consul", "SRV", edns=512)
    assert [option.to_text() for option in response.options] == ["EDE 0 (Other): cut to fit"]
