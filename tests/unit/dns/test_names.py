"""What the labels under a domain mean."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from rostra.dns.names import AddressName, Apex, EmptyName, Form, NameServer, NodeName, ServiceName, UnknownName, read_form, read_reverse
from rostra.dns.wire import split_name

FORMS: list[tuple[str, Form]] = [
    ("", Apex()),
    ("ns", NameServer()),
    ("foo.node", NodeName("foo")),
    ("foo.node.dc1", NodeName("foo")),
    ("foo.node.dc1.dc", NodeName("foo")),
    ("rack.1.node", NodeName("rack.1")),
    ("web.service", ServiceName("web")),
    ("web.service.dc1", ServiceName("web")),
    ("blue.web.service", ServiceName("web", "blue")),
    ("v1.2.web.service.dc1.dc", ServiceName("web", "v1.2")),
    ("_web._blue.service", ServiceName("web", "blue")),
    ("_web._tcp.service.dc1", ServiceName("web")),
    ("_web._tcp", ServiceName("web")),
    ("_web._blue.dc1", ServiceName("web", "blue")),
    ("_under.service", ServiceName("_under")),
    ("7f000001.addr", AddressName(IPv4Address("127.0.0.1"))),
    ("7f000001.addr.elsewhere", AddressName(IPv4Address("127.0.0.1"))),
    ("20010db8000000000000000000000004.addr.dc1", AddressName(IPv6Address("2001:db8::4"))),
    ("node", EmptyName()),
    ("service.dc1", EmptyName()),
    ("addr", EmptyName()),
    ("dc1", EmptyName()),
    ("dc1.dc", EmptyName()),
    ("dc", EmptyName()),
    ("_tcp", EmptyName()),
    ("_tcp.dc1", EmptyName()),
]


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_every_form_of_name_is_read(name: str, form: Form) -> None:
    assert read_form(split_name(name), "dc1") == form


@pytest.mark.parametrize(
    "name",
    [
        "foo",
        "foo.node.dc2",
        "dc2",
        "zz.addr",
        "7f0000.addr",
        "a.7f000001.addr",
        "x.query",
        "web.connect",
        "web.ingress",
        "web.virtual",
        "x.ns",
        "foo.foo",
        "web.service.dc1.extra",
        "_a.b",
        "dc2.dc",
        "web.service.team.ns",
    ],
)
def test_what_is_none_of_them_could_not_exist(name: str) -> None:
    assert isinstance(read_form(split_name(name), "dc1"), UnknownName)


def test_labels_that_are_no_text_could_not_exist() -> None:
    assert isinstance(read_form((b"\xff\xfe", b"node"), "dc1"), UnknownName)


def test_the_datacenter_is_compared_without_case() -> None:
    assert read_form((b"foo", b"node", b"east"), "East") == NodeName("foo")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("1.0.0.10.in-addr.arpa", "10.0.0.1"),
        ("4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "2001:db8::4"),
    ],
)
def test_a_reversed_name_is_an_address(name: str, address: str) -> None:
    assert str(read_reverse(split_name(name))) == address


@pytest.mark.parametrize(
    "name", ["0.0.10.in-addr.arpa", "256.0.0.10.in-addr.arpa", "x.0.0.10.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa", "in-addr.arpa", "a.b"]
)
def test_a_part_of_one_is_not(name: str) -> None:
    assert read_reverse(split_name(name)) is None
