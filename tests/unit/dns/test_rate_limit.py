"""Buckets of answers by source network."""

from __future__ import annotations

import pytest

from rostra.dns.rate_limit import MAX_NETWORKS, RateLimit, Ruling, network_of


def test_a_network_gets_its_answers_each_second_and_half_of_the_rest_is_told_to_use_tcp() -> None:
    limit = RateLimit(2)
    rulings = [limit.rule("192.0.2.1", 10.0) for _ in range(6)]
    assert rulings == [Ruling.ANSWER, Ruling.ANSWER, Ruling.SLIP, Ruling.DROP, Ruling.SLIP, Ruling.DROP]
    assert limit.rule("192.0.2.200", 10.0) is Ruling.SLIP
    assert limit.rule("198.51.100.1", 10.0) is Ruling.ANSWER
    assert limit.rule("192.0.2.1", 10.5) is Ruling.ANSWER


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8:1:200::1", "2001:db8:1:2ff::1", True),
        ("2001:db8:1:200::1", "2001:db8:1:300::1", False),
        ("fe80::1%lo", "fe80::2%lo", True),
    ],
)
def test_networks_are_24_bits_of_ipv4_and_56_of_ipv6(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


def test_a_flood_of_networks_is_forgotten_not_kept() -> None:
    limit = RateLimit(1)
    for number in range(MAX_NETWORKS + 10):
        limit.rule(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}".replace(".", f".{number}.", 1), 1.0)
    assert len(limit._buckets) <= MAX_NETWORKS
