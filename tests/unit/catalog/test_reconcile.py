"""The decision: member list and catalog compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rostra.catalog.reconcile import Duty, DutyKind, reconcile, too_many_removals
from rostra.model.catalog import Deregistration, HealthStatus, Registration
from rostra.model.members import Member, MemberStatus

from .helpers import ID_1, ID_2, Book, alive, check, member, registration, service


def decide(book: Book, *members: Member, reaped: Mapping[str, Member] | None = None, settled: bool = True) -> list[Duty]:
    return list(reconcile(book.state.store, members, reaped or {}, datacenter="dc1", own_name="me", settled=settled))


def settled_book(*members: Member) -> Book:
    book = Book()
    for duty in decide(book, *members):
        book.ok(duty.command)
    return book


def test_what_is_as_it_should_be_needs_nothing() -> None:
    members = (member("a"), member("s", server=True, id=ID_2))
    assert not decide(settled_book(*members), *members)


def test_strangers_and_other_datacenters_are_none_of_ours() -> None:
    assert not decide(Book(), member("a", role="consul"), member("b", dc="dc2"), replace(member("c"), tags={}))


def test_what_the_agent_told_of_its_node_stays() -> None:
    book = settled_book(member("a"))
    book.register("a", node_id=ID_1, meta={"rack": "1"})
    assert not decide(book, member("a"))
    book.register("a", node_id=ID_1, checks=(check("serfHealth", HealthStatus.CRITICAL),), meta={"rack": "1"})
    (duty,) = decide(book, member("a"))
    book.ok(duty.command)
    assert book.node("a").meta == {"rack": "1"}  # type: ignore[union-attr]


def test_a_new_address_is_taken_over_and_the_wan_address_stays() -> None:
    book = settled_book(member("a"))
    (duty,) = decide(book, replace(member("a"), address="10.0.0.7"))
    assert isinstance(duty.command, Registration)
    assert duty.command.node.address == duty.command.node.tagged_addresses["lan"] == "10.0.0.7"
    assert duty.command.node.tagged_addresses["wan"] == "10.0.0.1"


def test_a_server_whose_port_changed_gets_its_service_anew() -> None:
    book = settled_book(member("s", server=True))
    (duty,) = decide(book, member("s", server=True, port="8400"))
    book.ok(duty.command)
    assert book.service("s", "consul").port == 8400  # type: ignore[union-attr]


def test_a_failed_member_without_a_node_gets_none() -> None:
    assert not decide(Book(), member("a", MemberStatus.FAILED))


def test_a_leaving_member_is_left_alone() -> None:
    assert not decide(settled_book(member("a")), member("a", MemberStatus.LEAVING))


def test_the_node_of_another_id_is_not_removed() -> None:
    book = settled_book(member("a"))
    assert not decide(book, member("a", MemberStatus.LEFT, id=ID_2))
    assert not decide(book, member("a", MemberStatus.FAILED, id=ID_2))


def test_an_external_node_under_the_name_of_a_member_that_is_gone_is_not_removed() -> None:
    """The member stays on record long after its node went; what somebody registers under its name since is not that node."""
    nobody: Mapping[str, Member] = {}
    for left, reaped in ([member("a", MemberStatus.LEFT)], nobody), ([], {"a": member("a")}):
        book = settled_book(member("a"))
        (duty,) = decide(book, *left, reaped=reaped)
        book.ok(duty.command)
        book.register("a", node_id="", service=service("web"))
        assert not decide(book, *left, reaped=reaped)


def test_the_node_of_a_member_is_removed_also_where_a_registration_took_its_id_away() -> None:
    book = settled_book(member("a"))
    book.register("a", node_id="", service=service("web"))
    (duty,) = decide(book, member("a", MemberStatus.LEFT))
    assert duty.command == Deregistration("a")


def test_nobody_removes_itself() -> None:
    book = settled_book(member("me", server=True))
    assert not decide(book, member("me", MemberStatus.LEFT, server=True))


def test_before_gossip_has_settled_there_are_only_additions() -> None:
    book = settled_book(member("a"), member("b", id=ID_2))
    members = (member("a", MemberStatus.LEFT), member("b", MemberStatus.FAILED, id=ID_2), member("c", id="3" * 36))
    assert [duty.member for duty in decide(book, *members, reaped={"a": member("a")}, settled=False)] == ["c"]


def test_a_node_without_a_member_stays() -> None:
    book = settled_book(member("a"))
    book.register("external", service=service())
    assert not decide(book, reaped={})


def test_a_removal_of_over_a_third_is_too_many() -> None:
    def fleet(size: int) -> Any:
        return [member(f"n{number}", id=f"{number:036}") for number in range(size)]

    def removals(size: int, gone: int) -> int:
        book = Book()
        for each in fleet(size):
            book.ok(registration(each.name, node_id=each.tags["id"], checks=alive()))
        duties = decide(book, *(replace(each, status=MemberStatus.LEFT) for each in fleet(size)[:gone]))
        assert all(duty == Duty(DutyKind.LEFT, duty.member, Deregistration(duty.member)) for duty in duties)
        return too_many_removals(book.state.store, duties)

    assert removals(9, 3) == 0
    assert removals(9, 4) == 4
    assert removals(2, 1) == 0
