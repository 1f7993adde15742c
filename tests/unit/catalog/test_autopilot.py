"""What autopilot decides, from what gossip shows and what Raft knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from rostra.catalog.autopilot import Change, ChangeKind, Departures, Situation, Store, decide, servers_by_id
from rostra.clients.consensus import Configuration, RaftMember
from rostra.model.autopilot import AutopilotConfiguration
from rostra.model.members import Member, MemberStatus

SETTINGS = AutopilotConfiguration()
NOW = 1000.0


def server(node_id: str, status: MemberStatus = MemberStatus.ALIVE, address: str = "") -> Member:
    tags = {"role": "rostra", "dc": "dc1", "id": node_id, "port": "8300"}
    return Member(name=f"name-{node_id}", address=address or f"10.0.0.{node_id}", port=8301, status=status, tags=tags, incarnation=1)


def raft(node_id: str, *, voter: bool = True, contact_ms: int | None = 10, store: str = "first", match: int = 100) -> RaftMember:
    return RaftMember(node_id, store, f"name-{node_id}", f"10.0.0.{node_id}:8300", voter, match_index=match, last_contact_ms=contact_ms)


def decided(
    members: Collection[RaftMember],
    servers: Collection[Member],
    *,
    stable: Mapping[Store, float] | None = None,
    leaving: Collection[str] = (),
    settled: bool = True,
    settings: AutopilotConfiguration = SETTINGS,
) -> Change | None:
    configuration = Configuration(7, "cluster", list(members), leader_id="1")
    seen = Situation(configuration, {each.tags["id"]: each for each in servers}, stable or {}, leaving, settled, 100, NOW)
    return decide(seen, settings)


LOST = 60_000
THREE = [raft("1"), raft("2"), raft("3")]
ALL = [server("1"), server("2"), server("3")]


@pytest.mark.parametrize(
    ("others", "where"),
    [
        ([server("3")], "10.0.0.3"),
        ([server("3", MemberStatus.FAILED), server("3", address="10.0.0.9")], "10.0.0.9"),
        ([server("3", address="10.0.0.9"), server("3")], "10.0.0.3"),
        ([server("3"), server("3", address="10.0.0.9")], "10.0.0.3"),
        ([server("3", address="10.0.0.8"), server("3", address="10.0.0.9")], None),
        ([server("3", MemberStatus.FAILED), server("3", address="10.0.0.8"), server("3", address="10.0.0.9")], None),
        ([server("3", MemberStatus.LEFT), server("3", MemberStatus.FAILED, "10.0.0.9")], "10.0.0.3"),
    ],
)
def test_a_server_that_runs_on_a_copy_of_anothers_folder_is_not_followed(others: list[Member], where: str | None) -> None:
    found = servers_by_id([server("1"), *others], Configuration(7, "cluster", THREE, leader_id="1"))
    assert (found["3"].address if "3" in found else None) == where


def test_nothing_is_done_while_gossip_and_raft_agree() -> None:
    assert decided(THREE, ALL) is None


def test_a_server_that_gossip_shows_alive_becomes_a_learner() -> None:
    change = decided(THREE, [*ALL, server("4")])
    assert change is not None
    assert (change.kind, change.member.node_id, change.member.voter) == (ChangeKind.ADD, "4", False)
    assert change.member.address == "10.0.0.4:8300"


@pytest.mark.parametrize("status", [MemberStatus.FAILED, MemberStatus.LEFT, MemberStatus.LEAVING])
def test_one_that_is_not_alive_does_not(status: MemberStatus) -> None:
    assert decided(THREE, [*ALL, server("4", status)]) is None


@pytest.mark.parametrize(("since", "match", "promoted"), [(NOW - 10, 100, True), (NOW - 9, 100, False), (NOW - 10, -151, False)])
def test_a_learner_votes_once_it_has_been_stable_and_follows_closely(since: float, match: int, promoted: bool) -> None:
    change = decided([*THREE, raft("4", voter=False, match=match)], [*ALL, server("4")], stable={("4", "first"): since})
    assert (change is not None and change.kind is ChangeKind.PROMOTE) == promoted


def test_a_server_that_left_is_removed_once_raft_has_lost_it() -> None:
    servers = [server("1"), server("2"), server("3", MemberStatus.LEFT)]
    assert decided(THREE, servers) is None, "raft still hears it"
    change = decided([raft("1"), raft("2"), raft("3", contact_ms=LOST)], servers)
    assert change is not None
    assert (change.kind, change.member.node_id) == (ChangeKind.REMOVE, "3")


def test_one_that_only_failed_is_removed_while_three_voters_remain_and_kept_otherwise() -> None:
    failed = server("4", MemberStatus.FAILED)
    change = decided([*THREE, raft("4", contact_ms=LOST)], [*ALL, failed])
    assert change is not None
    assert (change.kind, change.member.node_id) == (ChangeKind.REMOVE, "4")
    assert decided([raft("1"), raft("2"), raft("4", contact_ms=LOST)], [server("1"), server("2"), failed]) is None


@pytest.mark.parametrize("settings", [replace(SETTINGS, cleanup_dead_servers=False), replace(SETTINGS, min_quorum=4)])
def test_settings_keep_one_that_failed(settings: AutopilotConfiguration) -> None:
    assert decided([*THREE, raft("4", contact_ms=LOST)], [*ALL, server("4", MemberStatus.FAILED)], settings=settings) is None


def test_absence_from_gossip_is_no_evidence() -> None:
    assert decided([*THREE, raft("4", contact_ms=LOST)], ALL) is None


def test_nobody_is_removed_before_gossip_has_settled_or_while_a_learner_catches_up() -> None:
    members, servers = [*THREE, raft("4", contact_ms=LOST)], [*ALL, server("4", MemberStatus.LEFT)]
    assert decided(members, servers, settled=False) is None
    learner = raft("5", voter=False, match=0)
    assert decided([*members, learner], [*servers, server("5")], stable={("5", "first"): NOW}) is None


def test_the_leader_is_never_removed() -> None:
    assert decided([raft("1", contact_ms=LOST), raft("2")], [server("1", MemberStatus.LEFT), server("2")]) is None


def test_who_does_not_lead_any_more_decides_nothing() -> None:
    """It hears nobody, as Raft has it, and its gossip may have been cut off. What it asked for, the next leader would do."""
    unheard = [raft(node_id, contact_ms=None) for node_id in "12345"]
    servers = [*ALL, server("4"), server("5", MemberStatus.FAILED)]
    assert decided(unheard, servers) is None
    assert decided([*(raft(node_id) for node_id in "1234"), raft("5", contact_ms=LOST)], servers) is not None


def test_a_new_address_is_followed_and_the_vote_stays() -> None:
    change = decided(THREE, [server("1"), server("2"), server("3", address="10.9.9.9")])
    assert change is not None
    assert (change.kind, change.member.address, change.member.voter) == (ChangeKind.MOVE, "10.9.9.9:8300", True)


def test_a_node_that_raft_does_not_hear_may_have_another_store() -> None:
    change = decided([raft("1"), raft("2"), raft("3", contact_ms=LOST)], ALL)
    assert change is not None
    assert (change.kind, change.member.node_id, change.member.store_id) == (ChangeKind.LOOK, "3", "")


def test_the_old_store_of_a_node_goes_when_the_new_one_is_ready_to_vote_in_its_place() -> None:
    old, new = raft("3", contact_ms=LOST), raft("3", voter=False, store="second")
    assert decided([raft("1"), raft("2"), old, new], ALL, stable={("3", "second"): NOW}) is None
    change = decided([raft("1"), raft("2"), old, new], ALL, stable={("3", "second"): NOW - 10})
    assert change is not None
    assert (change.kind, change.member.store_id) == (ChangeKind.REMOVE, "first")
    change = decided([raft("1"), raft("2"), new], ALL, stable={("3", "second"): NOW - 10})
    assert change is not None
    assert (change.kind, change.member.store_id) == (ChangeKind.PROMOTE, "second")


def test_a_server_that_leaves_is_not_taken_in_again_while_gossip_still_shows_it_alive() -> None:
    departures = Departures()
    alive = {each.tags["id"]: each for each in ALL}
    with_all, without = Configuration(7, "cluster", THREE, "1"), Configuration(8, "cluster", THREE[:2], "1")
    assert not departures.look(with_all, alive, NOW)
    leaving = departures.look(without, alive, NOW + 1)
    assert set(leaving) == {"3"}
    assert decided(THREE[:2], ALL, leaving=leaving) is None
    assert not departures.look(without, alive | {"3": server("3", MemberStatus.LEFT)}, NOW + 2)
    assert not departures.look(without, alive, NOW + 3), "it has returned"


def test_a_server_that_was_removed_by_hand_returns_after_a_minute() -> None:
    departures = Departures()
    alive = {each.tags["id"]: each for each in ALL}
    departures.look(Configuration(7, "cluster", THREE, "1"), alive, NOW)
    without = Configuration(8, "cluster", THREE[:2], "1")
    assert set(departures.look(without, alive, NOW)) == {"3"}
    assert set(departures.look(without, alive, NOW + 59)) == {"3"}
    assert not departures.look(without, alive, NOW + 60)
