"""The history of configurations: the latest counts, and every one that may have to come back is kept."""

from __future__ import annotations

import pytest

from rostra.consensus.configuration import Configuration, ConfigurationHistory, decode_configuration
from rostra.consensus.model import Member, PeerId, Suffrage
from rostra.errors import BadRequest, NotFound


def member(name: str, suffrage: Suffrage = Suffrage.VOTER, store: str = "s") -> Member:
    return Member(PeerId(name, store), suffrage, name, f"{name}:8300")


def numbered(number: int) -> Configuration:
    return Configuration(f"c{number}")


def history(*indexes: int) -> ConfigurationHistory:
    found = ConfigurationHistory()
    for index in indexes:
        found.append(index, numbered(index))
    return found


def test_the_configuration_in_force_at_an_index_is_the_last_one_up_to_it() -> None:
    found = history(1, 5, 9)
    assert [found.at(index)[0] for index in (1, 4, 5, 8, 9, 20)] == [1, 1, 5, 5, 9, 9]
    assert found.at(0) == (0, Configuration())


def test_a_cut_brings_the_one_before_back() -> None:
    found = history(1, 5, 9)
    assert found.truncate(6)
    assert (found.latest_index, found.latest) == (5, numbered(5))
    assert not found.truncate(6)


def test_compaction_keeps_what_is_in_force_there_and_all_after() -> None:
    found = history(1, 5, 9)
    found.compact(6)
    assert [found.at(index)[0] for index in (6, 9)] == [5, 9]


def test_compaction_before_the_oldest_one_known_keeps_them_all() -> None:
    found = ConfigurationHistory()
    found.restore(44, numbered(44))
    found.append(50, numbered(50))
    found.compact(33)
    assert found.at(49)[0] == 44
    assert found.truncate(50)
    assert found.latest_index == 44


def test_a_configuration_survives_its_entry() -> None:
    configuration = Configuration("cluster", (member("a"), member("b", Suffrage.LEARNER)))
    assert decode_configuration(configuration.encode()) == configuration


def test_an_address_can_change_without_the_vote() -> None:
    configuration = Configuration("c", (member("a"),))
    moved = configuration.with_learner(Member(PeerId("a", "s"), Suffrage.LEARNER, "a", "elsewhere:8300"))
    assert moved.by_id[PeerId("a", "s")].address == "elsewhere:8300"
    assert moved.voters == configuration.voters


def test_the_last_voter_cannot_be_removed_nor_a_stranger_promoted() -> None:
    configuration = Configuration("c", (member("a"), member("b", Suffrage.LEARNER)))
    with pytest.raises(BadRequest, match="last voter"):
        configuration.without(PeerId("a", "s"))
    with pytest.raises(NotFound):
        configuration.with_voter(PeerId("x", "s"))
