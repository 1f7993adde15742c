"""DNS on a node in one process and in six: dnspython and ``dig``, over UDP and TCP."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rdatatype
import pytest

from ..harness.deployment import HOST, Deployment
from ..harness.waiting import eventually

pytestmark = pytest.mark.process

TRANSPORTS = pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])


@pytest.fixture
def service(node: Deployment) -> Iterator[str]:
    """A service ``mail`` on two nodes, one of them with an IPv6 address."""
    for name, address in (("mail-1", "127.0.0.21"), ("mail-2", "::22")):
        node.api.register(name, address, Service={"Service": "mail", "Port": 25, "Tags": ["smtp"]})
    eventually(lambda: node.dns.addresses("mail.service.consul"), 2.0, "DNS shows the service")
    yield "mail.service.consul"
    for name in ("mail-1", "mail-2"):
        node.api.deregister(name)


@TRANSPORTS
def test_a_node_is_found_by_its_name_with_and_without_the_datacenter(node: Deployment, tcp: bool) -> None:
    assert node.dns.addresses(f"{node.node}.node.consul", tcp=tcp) == [HOST]
    assert node.dns.addresses(f"{node.node}.node.dc1.consul", tcp=tcp) == [HOST]


def test_names_are_found_whatever_the_case_of_their_letters(node: Deployment) -> None:
    assert node.dns.addresses(f"{node.node.upper()}.NODE.Consul") == [HOST]


@TRANSPORTS
def test_the_own_service_is_found(node: Deployment, tcp: bool) -> None:
    assert node.dns.addresses("consul.service.consul", tcp=tcp) == [HOST]


@TRANSPORTS
def test_a_service_is_found_by_either_family(node: Deployment, service: str, tcp: bool) -> None:
    assert node.dns.addresses(service, "A", tcp=tcp) == ["127.0.0.21"]
    assert node.dns.addresses(service, "AAAA", tcp=tcp) == ["::22"]
    assert node.dns.addresses(f"smtp.{service}", "A", tcp=tcp) == ["127.0.0.21"]


@TRANSPORTS
def test_srv_names_port_and_node_with_the_address_beside_it(node: Deployment, tcp: bool) -> None:
    answer = node.dns.ask("consul.service.consul", "SRV", tcp=tcp)
    (rrset,) = answer.answer
    (record,) = rrset
    assert record.to_text() == f"1 1 {node.ports.server} {node.node}.node.dc1.consul."
    glue = {(rrset.name.to_text(), item.to_text()) for rrset in answer.additional for item in rrset if rrset.rdtype == dns.rdatatype.A}
    assert glue == {(f"{node.node}.node.dc1.consul.", HOST)}


def test_answers_are_authoritative_and_may_not_be_kept(node: Deployment) -> None:
    answer = node.dns.ask(f"{node.node}.node.consul")
    assert answer.flags & dns.flags.AA
    assert [rrset.ttl for rrset in answer.answer] == [0]


@pytest.mark.parametrize("name", ["nobody.node.consul", "nothing.service.consul", "x.unknown.consul", "consul.service.elsewhere.consul"])
@TRANSPORTS
def test_what_is_not_there_is_nxdomain_with_soa(node: Deployment, name: str, tcp: bool) -> None:
    answer = node.dns.ask(name, tcp=tcp)
    assert node.dns.code(name, tcp=tcp) == "NXDOMAIN"
    assert [rrset.rdtype for rrset in answer.authority] == [dns.rdatatype.SOA]
    assert answer.authority[0][0].mname.to_text() == "ns.consul."


def test_a_question_about_another_domain_is_refused(node: Deployment) -> None:
    assert node.dns.code("example.com") == "REFUSED"


def test_bytes_that_are_no_dns_message_harm_nobody(node: Deployment) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for garbage in (b"", b"\x00", b"\xff" * 40, b"\x00" * 12, bytes(range(256)) * 5):
            sender.sendto(garbage, (HOST, node.ports.dns))
    assert node.dns.addresses(f"{node.node}.node.consul") == [HOST]


@pytest.mark.interop("dig")
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_dig_reads_the_answers(node: Deployment, transport: str) -> None:
    def dig(*question: str) -> str:
        command = ["dig", f"@{HOST}", "-p", str(node.ports.dns), transport, "+norecurse", "+time=2", "+tries=1", *question]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout

    assert dig("+short", f"{node.node}.node.consul").split() == [HOST]
    assert dig("+short", "consul.service.consul", "SRV").split() == ["1", "1", str(node.ports.server), f"{node.node}.node.dc1.consul."]
    missing = dig("nothing.service.consul")
    assert "status: NXDOMAIN" in missing
    assert "SOA\tns.consul." in missing
    assert ";; Warning" not in missing
