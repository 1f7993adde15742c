"""The datacenters that the WAN pool shows: which, and in which order."""

from __future__ import annotations

from rostra.catalog.datacenters import by_distance
from rostra.model.coordinates import Coordinate
from rostra.model.members import Member, MemberStatus


def server(name: str, status: MemberStatus = MemberStatus.ALIVE, role: str = "rostra") -> Member:
    return Member(name, "10.0.0.1", 8302, {"role": role, "dc": name.rpartition(".")[2], "port": "8300"}, status, 1)


def at(seconds: float) -> Coordinate:
    return Coordinate(vector=(seconds, *[0.0] * 7), height=0.0)


COORDINATES = {"a.dc1": at(0), "b.far": at(0.3), "c.far": at(0.05), "d.far": at(0.01), "e.near": at(0.1), "z.dc1": at(9)}


def names(own: str, node: str, members: list[Member], coordinates: dict[str, Coordinate]) -> list[str]:
    return [each.name for each in by_distance(own, node, members, coordinates)]


def test_the_own_datacenter_is_first_and_the_others_come_by_their_median_round_trip() -> None:
    members = [server(name) for name in ("b.far", "c.far", "d.far", "e.near", "a.dc1", "z.dc1", "x.unknown")]
    assert names("dc1", "a.dc1", members, COORDINATES) == ["dc1", "far", "near", "unknown"]


def test_without_a_coordinate_of_our_own_the_order_is_by_name() -> None:
    assert names("dc1", "new.dc1", [server("e.near"), server("b.far")], COORDINATES) == ["dc1", "far", "near"]


def test_a_datacenter_without_a_living_server_of_ours_is_not_listed() -> None:
    members = [server("b.far", MemberStatus.FAILED), server("e.near", MemberStatus.LEFT), server("c.consul", role="consul")]
    assert names("dc1", "a.dc1", members, COORDINATES) == ["dc1"]


def test_each_comes_with_the_server_ports_of_those_that_are_alive() -> None:
    members = [server("b.far"), server("a.dc1"), server("c.far", MemberStatus.FAILED)]
    assert [(each.name, each.servers) for each in by_distance("dc1", "a.dc1", members, {})] == [
        ("dc1", ["10.0.0.1:8300"]),
        ("far", ["10.0.0.1:8300"]),
    ]
