"""Two that live under one node ID: the first keeps it, and neither flaps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rostra.catalog.twins import refuse_twins
from rostra.errors import Conflict
from rostra.model.catalog import CommandGroup, HealthStatus, Registration
from rostra.model.members import Member, MemberStatus

from .conftest import World
from .helpers import ID_1, Book, check, member, registration, service

HERE, ELSEWHERE = "10.0.0.1", "10.0.0.2"


def at(name: str, address: str, *, port: int = 8301, status: MemberStatus = MemberStatus.ALIVE) -> Member:
    return replace(member(name, status), address=address, port=port)


def holding(status: HealthStatus | None) -> Book:
    """``first`` has the ID, at ``HERE``."""
    book = Book()
    book.ok(registration("first", HERE, node_id=ID_1, service=service()))
    if status is not None:
        book.ok(registration("first", HERE, node_id=ID_1, checks=(check("serfHealth", status=status),)))
    return book


@pytest.mark.parametrize(
    ("status", "address", "members", "refused"),
    [
        (HealthStatus.PASSING, ELSEWHERE, [], True),
        (HealthStatus.PASSING, ELSEWHERE, [at("first", HERE), at("second", ELSEWHERE)], True),
        (HealthStatus.CRITICAL, ELSEWHERE, [], False),
        (None, ELSEWHERE, [], False),
        (HealthStatus.PASSING, HERE, [], False),
        (HealthStatus.PASSING, HERE, [at("first", HERE), at("second", HERE)], False),
        (HealthStatus.PASSING, HERE, [at("first", HERE), at("second", HERE, port=9)], True),
        (HealthStatus.PASSING, HERE, [at("first", HERE, status=MemberStatus.FAILED), at("second", HERE, port=9)], False),
    ],
)
def test_an_id_stays_with_the_living_node_that_has_it_unless_it_is_the_same_agent_renamed(
    status: HealthStatus | None, address: str, members: list[Member], *, refused: bool
) -> None:
    store = holding(status).state.store
    known = {each.name: each for each in members}
    second = registration("second", address, node_id=ID_1.upper())
    for command in (second, CommandGroup((registration("x"), second)), replace_skip(second)):
        if refused:
            with pytest.raises(Conflict, match=f"that of node first .{HERE}., which is alive"):
                refuse_twins(command, store, known)
        else:
            refuse_twins(command, store, known)


def replace_skip(command: Registration) -> Registration:
    """It makes the node all the same where there is none."""
    return Registration(command.node, skip_node_update=True, service=service())


def test_what_takes_no_id_is_none_of_its_business() -> None:
    store = holding(HealthStatus.PASSING).state.store
    for command in (registration("first", ELSEWHERE, node_id=ID_1), registration("second", ELSEWHERE), registration("FIRST", node_id=ID_1)):
        refuse_twins(command, store, {})


async def test_a_clone_is_not_taken_in_until_the_first_is_gone(near: World) -> None:
    near.consensus.lead(1, here=True)
    near.gossip.change(at("first", HERE))
    await near.until(lambda: Book(near.role.driver.state).check("first", "serfHealth") is not None)
    await near.client.register(registration("first", HERE, node_id=ID_1, skip=True, service=service()))
    node = Book(near.role.driver.state).node("first")
    near.gossip.change(at("second", ELSEWHERE))
    with pytest.raises(Conflict, match="runs on a copy of the other's data folder"):
        await near.client.register(registration("second", ELSEWHERE, node_id=ID_1, service=service("api")))
    near.consensus.lead(2, here=True)  # taking office, everything is compared
    near.gossip.change(at("third", "10.0.0.3"))  # of the same ID too
    await near.until(lambda: "second" in near.role.duties.refused and "third" in near.role.duties.refused)
    book = Book(near.role.driver.state)
    assert book.node("first") == node
    assert book.service("first", "web") is not None
    assert (book.node("second"), book.node("third")) == (None, None)
    near.gossip.change(at("first", HERE, status=MemberStatus.LEFT))
    await near.until(lambda: any(Book(near.role.driver.state).node(name) is not None for name in ("second", "third")))
    assert book.node("first") is None
