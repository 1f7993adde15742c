"""Who may be a member."""

from __future__ import annotations

import ipaddress

import pytest

from rostra.gossip.address import Address
from rostra.gossip.admission import ANYWHERE, every, from_networks, named_by_datacenter, same_datacenter, servers_only, within
from rostra.gossip.wire.tags import encode_tags


@pytest.mark.parametrize(
    ("address", "is_inside"),
    [("10.1.2.3", True), ("10.2.0.1", False), ("fd00::1", True), ("fe80::1", False), ("::ffff:10.1.2.3", True), ("::ffff:9.9.9.9", False)],
)
def test_an_address_is_in_one_of_the_networks_or_outside(address: str, is_inside: bool) -> None:
    networks = within(["10.1.0.0/16", "fd00::/8"])
    ip = ipaddress.ip_address(address).packed
    assert networks(ip) is is_inside
    assert (from_networks(networks)("x", Address(ip, 1), b"") == "") is is_inside
    assert ANYWHERE(ip)


def test_an_address_that_is_none_is_in_no_network() -> None:
    assert not within(["0.0.0.0/0", "::/0"])(b"")
    assert not within(["0.0.0.0/0", "::/0"])(b"12345")


def test_all_rules_must_hold_and_the_first_that_does_not_says_why() -> None:
    rule = every(same_datacenter("dc1"), servers_only(frozenset({"rostra"})), from_networks(within(["10.0.0.0/8"])))
    inside, outside = Address(bytes([10, 0, 0, 1]), 1), Address(bytes([11, 0, 0, 1]), 1)
    server = {"dc": "dc1", "role": "rostra"}
    assert rule("x", inside, encode_tags(server)) == ""
    assert "11.0.0.1" in rule("x", outside, encode_tags(server))
    assert "'consul'" in rule("x", outside, encode_tags({**server, "role": "consul"}))
    assert "'dc2'" in rule("x", outside, encode_tags({"dc": "dc2"}))


def test_in_the_wan_pool_a_name_ends_with_its_datacenter() -> None:
    rule, home, meta = named_by_datacenter(), Address(bytes([10, 0, 0, 1]), 1), encode_tags({"dc": "dc1"})
    assert rule("s1.dc1", home, meta) == ""
    assert "does not end with its datacenter" in rule("s1", home, meta)
    assert rule("s1.dc2", home, meta) != ""
