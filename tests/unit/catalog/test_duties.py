"""The leader's duties, against a fake gossip."""

from __future__ import annotations

import logging

import pytest

from rostra.model.catalog import HealthStatus, Service
from rostra.model.members import Member, MemberStatus

from .conftest import World
from .helpers import ID_1, ID_2, ID_3, Book, member, registration, service


def book(world: World) -> Book:
    return Book(world.role.driver.state)


def health(world: World, name: str) -> HealthStatus | None:
    check = book(world).check(name, "serfHealth")
    return None if check is None else check.status


def a_server(name: str = "s") -> Member:
    return member(name, server=True, id=ID_3)


async def test_a_member_that_joins_gets_its_node_health_and_service(near: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rostra.catalog")
    near.gossip.change(a_server())
    near.gossip.change(member("c"))
    near.consensus.lead(1, here=True)
    await near.until(lambda: health(near, "s") is HealthStatus.PASSING and health(near, "c") is HealthStatus.PASSING)
    node, check = book(near).node("s"), book(near).check("s", "serfHealth")
    assert node is not None
    assert (node.id, node.address) == (ID_3, "10.0.0.1")
    assert node.tagged_addresses == {"lan": "10.0.0.1", "lan_ipv4": "10.0.0.1", "wan": "10.0.0.1", "wan_ipv4": "10.0.0.1"}
    assert check is not None
    assert (check.name, check.output) == ("Serf Health Status", "Agent alive and reachable")
    consul = book(near).service("s", "consul")
    assert consul is not None
    assert (consul.name, consul.port) == ("consul", 8300)
    assert book(near).service("c", "consul") is None
    assert "member 'c' joined, marking health alive" in caplog.messages


async def test_one_that_fails_turns_critical_and_keeps_its_services_and_returns_by_itself(near: World) -> None:
    near.consensus.lead(1, here=True)
    near.gossip.change(member("c"))
    await near.until(lambda: health(near, "c") is HealthStatus.PASSING)
    await near.client.register(registration("c", node_id=ID_1, skip=True, service=service()))
    near.gossip.change(member("c", MemberStatus.FAILED))
    await near.until(lambda: health(near, "c") is HealthStatus.CRITICAL)
    assert book(near).check("c", "serfHealth").output == "Agent not live or unreachable"  # type: ignore[union-attr]
    assert isinstance(book(near).service("c", "web"), Service)
    near.gossip.change(member("c"))
    await near.until(lambda: health(near, "c") is HealthStatus.PASSING)


@pytest.mark.parametrize("how", ["leaves", "is reaped"])
async def test_one_that_goes_is_removed_with_everything(near: World, how: str) -> None:
    near.consensus.lead(1, here=True)
    near.gossip.change(member("c"))
    await near.until(lambda: health(near, "c") is HealthStatus.PASSING)
    if how == "leaves":
        near.gossip.change(member("c", MemberStatus.LEFT))
    else:
        near.gossip.reap("c")
    await near.until(lambda: book(near).node("c") is None)


async def test_a_follower_does_nothing_until_it_leads(near: World) -> None:
    near.gossip.change(member("c"))
    await near.client.register(registration("x"))
    assert book(near).node("c") is None
    near.consensus.lead(2, here=True)
    await near.until(lambda: book(near).node("c") is not None)
    assert near.consensus.proposals[-1].only_in_term == 2


async def test_one_that_was_reaped_before_this_server_led_is_removed_when_it_does(near: World) -> None:
    await near.client.register(registration("c", node_id=ID_1))
    near.gossip.change(member("c"))
    near.gossip.reap("c")
    await near.until(lambda: "c" in near.role.members.reaped)
    near.consensus.lead(2, here=True)
    await near.until(lambda: book(near).node("c") is None)


async def test_a_gossip_that_was_restarted_and_knows_nobody_costs_no_registration(near: World) -> None:
    near.consensus.lead(1, here=True)
    for name, node_id in (("a", ID_1), ("b", ID_2)):
        near.gossip.change(member(name, id=node_id))
    await near.until(lambda: health(near, "a") is health(near, "b") is HealthStatus.PASSING)
    near.gossip.restart(a_server(), settled=False)
    await near.until(lambda: book(near).node("s") is not None)
    near.gossip.change(member("a", MemberStatus.LEFT))
    near.gossip.change(member("new", id="44444444-4444-4444-4444-444444444444"))
    await near.until(lambda: book(near).node("new") is not None)
    assert book(near).node("a") is not None, "before gossip has settled nothing is removed"
    near.gossip.settle()
    await near.until(lambda: book(near).node("a") is None)
    assert book(near).node("b") is not None, "absence is never evidence"


async def test_a_removal_of_over_a_third_at_once_is_stopped_and_reported_and_the_rest_goes_on(
    near: World, caplog: pytest.LogCaptureFixture
) -> None:
    """As when gossip comes back with a list in which most have left."""
    near.consensus.lead(1, here=True)
    ids = {f"c{number}": f"{number:08}-0000-4000-8000-000000000000" for number in range(6)}
    for name, node_id in ids.items():
        near.gossip.change(member(name, id=node_id))
    await near.until(lambda: all(health(near, name) is HealthStatus.PASSING for name in ids))
    gone = [member(name, MemberStatus.LEFT, id=node_id) for name, node_id in ids.items()][:3]
    near.gossip.restart(a_server(), *gone, settled=True)
    await near.until(lambda: book(near).node("s") is not None)
    await near.until(lambda: any("over a third" in message for message in caplog.messages))
    assert all(book(near).node(name) is not None for name in ids)
    near.gossip.change(member("c5", MemberStatus.LEFT, id=ids["c5"]))
    await near.until(lambda: book(near).node("c5") is None)
    assert all(book(near).node(each.name) is not None for each in gone), "one that leaves is a change of its own"


async def test_what_another_term_decided_is_refused(near: World) -> None:
    near.consensus.lead(1, here=True)
    near.gossip.change(member("a"))
    await near.until(lambda: book(near).node("a") is not None)
    near.consensus.silent = True
    near.consensus.term = 2  # and this server has not heard yet
    near.gossip.change(member("a", MemberStatus.FAILED))
    await near.until(lambda: len(near.consensus.proposals) > 1)
    assert near.consensus.proposals[1].only_in_term == 1
    assert health(near, "a") is HealthStatus.PASSING


async def test_a_member_whose_name_a_living_node_has_is_reported_and_the_others_go_on(
    near: World, caplog: pytest.LogCaptureFixture
) -> None:
    near.consensus.lead(1, here=True)
    near.gossip.change(member("a", id=ID_1))
    await near.until(lambda: health(near, "a") is HealthStatus.PASSING)
    near.gossip.change(member("a", id=ID_2))
    near.gossip.change(member("b", id=ID_3))
    await near.until(lambda: health(near, "b") is HealthStatus.PASSING)
    assert book(near).node("a").id == ID_1  # type: ignore[union-attr]
    await near.until(lambda: "a member is not taken into the catalog" in caplog.messages)


async def test_one_that_was_reaped_and_came_back_stays(near: World) -> None:
    near.consensus.lead(1, here=True)
    near.gossip.change(member("c"))
    await near.until(lambda: health(near, "c") is HealthStatus.PASSING)
    near.consensus.lead(2)
    near.gossip.reap("c")
    await near.until(lambda: "c" in near.role.members.reaped)
    near.gossip.restart(member("c"), settled=True)
    await near.until(lambda: "c" in near.role.members.members)
    near.consensus.lead(3, here=True)
    near.gossip.change(member("d", id=ID_2))
    await near.until(lambda: book(near).node("d") is not None)
    assert book(near).node("c") is not None
