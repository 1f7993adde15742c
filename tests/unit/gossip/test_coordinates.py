"""Network coordinates (gossip-wire section 14)."""

from __future__ import annotations

import math
import random

import pytest

from rostra.gossip.coordinates import CoordinateClient, decode_coordinate, distance_s, encode_coordinate
from rostra.gossip.wire.errors import WireError
from rostra.model.coordinates import Coordinate

from .vectors import VECTORS


def coordinate(values: dict[str, object]) -> Coordinate:
    vector = values["Vec"]
    assert isinstance(vector, list)
    return Coordinate(tuple(map(float, vector)), *(float(str(values[name])) for name in ("Error", "Adjustment", "Height")))


def test_the_first_update_is_that_of_a_real_serf() -> None:
    vector = VECTORS["vivaldi_first_update"]
    client = CoordinateClient(random.Random(1))
    assert client.coordinate == coordinate(vector["before"])
    client.observe("peer", coordinate(vector["peer"]), vector["rtt_seconds"])
    assert client.coordinate.error == vector["after"]["Error"]
    assert client.coordinate.adjustment == vector["after"]["Adjustment"]
    assert client.coordinate.height == vector["after"]["Height"]
    assert math.hypot(*client.coordinate.vector) == pytest.approx(vector["after"]["Vec_magnitude"], rel=1e-6)


def test_a_later_update_moves_along_the_line_and_changes_the_height() -> None:
    """The formulas of gossip-wire section 14, worked through by hand for two points on one axis."""
    client = CoordinateClient(random.Random(1))
    own = Coordinate((0.03, *(0.0,) * 7), 0.5, 0.001, 0.002)
    peer = Coordinate((0.01, *(0.0,) * 7), 0.25, 0.002, 0.003)
    client.coordinate = own
    client.observe("peer", peer, 0.05)
    expected_s = 0.02 + 0.005 + 0.003
    weight = 0.5 / 0.75
    force = 0.25 * weight * (0.05 - expected_s)
    height = 0.005 * force / 0.02 + 0.002
    adjustment = (0.05 - (0.02 + force + height + 0.003)) / 40
    assert client.coordinate.error == pytest.approx(0.25 * weight * abs(expected_s - 0.05) / 0.05 + 0.5 * (1 - 0.25 * weight))
    assert client.coordinate.adjustment == pytest.approx(adjustment)
    from_origin_s = 0.03 + force + height + 1e-5 + adjustment
    gravity = -((from_origin_s / 150) ** 2)
    assert client.coordinate.vector[0] == pytest.approx(0.03 + force + gravity, abs=1e-9)  # distances are cut to nanoseconds
    assert client.coordinate.height == pytest.approx((height + 1e-5) * gravity / (0.03 + force) + height, abs=1e-9)


def test_the_median_of_three_round_trips_counts() -> None:
    spiky, calm = CoordinateClient(random.Random(1)), CoordinateClient(random.Random(1))
    for round_trip_s, median_s in ((0.01, 0.01), (9.0, 9.0), (0.02, 0.02), (0.03, 0.03), (5.0, 0.03)):
        spiky.observe("peer", Coordinate(), round_trip_s)
        calm.observe(f"peer{median_s}{round_trip_s}", Coordinate(), median_s)
    assert spiky.coordinate == calm.coordinate


def test_distances_learned_by_probing_approach_the_round_trips() -> None:
    rng = random.Random(2)
    places = [(rng.uniform(0, 0.05), rng.uniform(0, 0.05)) for _ in range(8)]
    clients = [CoordinateClient(rng) for _ in places]
    for _ in range(3000):
        a, b = rng.sample(range(len(places)), 2)
        clients[a].observe(str(b), clients[b].coordinate, math.dist(places[a], places[b]) + 0.002)
    errors = [
        abs(distance_s(clients[a].coordinate, clients[b].coordinate) - (math.dist(places[a], places[b]) + 0.002))
        for a in range(8)
        for b in range(8)
        if a != b
    ]
    assert sum(errors) / len(errors) < 0.002


@pytest.mark.parametrize("round_trip_s", [-0.001, 10.1, float("nan"), float("inf")])
def test_an_impossible_round_trip_is_not_learned_from(round_trip_s: float) -> None:
    client = CoordinateClient(random.Random(1))
    client.observe("peer", Coordinate(), round_trip_s)
    assert client.coordinate == Coordinate()
    assert client.peers == {}


def test_a_hostile_coordinate_cannot_make_ours_infinite() -> None:
    client = CoordinateClient(random.Random(1))
    for height in (1e308, -1e308, 1e300):
        client.observe("peer", Coordinate((1e308,) * 8, 1e-300, 1e308, height), 5.0)
        assert all(map(math.isfinite, (*client.coordinate.vector, client.coordinate.error, client.coordinate.height)))
    assert math.isfinite(distance_s(client.coordinate, Coordinate()))


def test_encode_and_decode_are_inverse() -> None:
    value = Coordinate((1.0, -2.0, 0.5, 0.0, 1e-9, 3.0, 4.0, 5.0), 0.3, -1e-4, 2e-5)
    assert decode_coordinate(encode_coordinate(value)) == value


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x02\x80", b"\x01", b"\x01\x80", encode_coordinate(Coordinate((0.0,) * 7)), encode_coordinate(Coordinate((float("nan"),) * 8))],
)
def test_a_payload_that_is_no_coordinate_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        decode_coordinate(payload)
