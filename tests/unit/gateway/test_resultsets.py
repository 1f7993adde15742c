"""The index of an answer: for one read an index names one answer, and whoever holds the answer sleeps."""

from __future__ import annotations

import random
import weakref

import pytest

from rostra.gateway.resultsets import Finished, ResultSet, ResultSets
from rostra.model.catalog import Node
from rostra.model.consistency import Contact
from rostra.model.topics import NODES, Entry
from rostra.views.view import View


def node(name: str, index: int) -> Entry:
    return Entry(name, index, Node(name, "127.0.0.1", modify_index=index))


def rendered(views: tuple[View, ...]) -> bytes:
    """What the reads under test see: the nodes whose name begins with "a"."""
    return b",".join(f"{entry.key}@{entry.index}".encode() for entry in views[0].entries() if entry.key.startswith("a"))


def results_of(view: View) -> ResultSet:
    return ResultSet(rendered)  # type: ignore[arg-type]


def view_at(index: int, *entries: Entry) -> View:
    view = View(NODES)
    view.load("cluster", index, entries)
    return view


def test_the_first_answer_takes_the_index_of_its_views() -> None:
    view = view_at(7, node("a", 3))
    assert results_of(view).refresh((view,)).index == 7


def test_an_answer_that_stays_the_same_keeps_its_index_whatever_changes_around_it() -> None:
    view = view_at(7, node("a", 3))
    results = results_of(view).refresh((view,))
    for index in range(8, 100):
        view.apply(index, [node("b", index)])
        assert results.refresh((view,)).index == 7
        assert not results.is_due(7)


def test_an_answer_that_changes_takes_the_index_of_the_change() -> None:
    view = view_at(7, node("a", 3))
    results = results_of(view).refresh((view,))
    view.apply(9, [node("ab", 9)])
    assert results.refresh((view,)).index == 9
    assert results.is_due(7)
    assert not results.is_due(9)


def test_an_index_that_was_not_given_out_here_is_answered_at_once_with_one_that_is_not_behind_it() -> None:
    view = view_at(7, node("a", 3))
    results = results_of(view).refresh((view,))
    view.apply(20, [node("b", 20)])
    results.refresh((view,))
    assert results.is_due(15)
    assert results.index == 20
    assert not results.is_due(20)


def test_those_who_already_wait_are_not_woken_by_such_a_stranger() -> None:
    view = view_at(7, node("a", 3))
    results = results_of(view).refresh((view,))
    view.apply(20, [node("b", 20)])
    results.refresh((view,))
    assert results.is_due(15)
    assert not results.is_due(7)


def test_an_index_that_the_views_just_reached_names_their_answer() -> None:
    view = view_at(7, node("a", 3))
    results = results_of(view).refresh((view,))
    assert not results.is_due(12)
    view.apply(12, [node("b", 12)])
    results.refresh((view,))
    assert not results.is_due(12)
    assert results.index == 12


def test_an_index_that_the_views_passed_over_is_answered() -> None:
    view = view_at(7, node("a", 3))
    results = results_of(view).refresh((view,))
    assert not results.is_due(12)
    view.apply(13, [node("b", 13)])
    results.refresh((view,))
    assert results.is_due(12)


def test_another_cluster_starts_over_even_backwards() -> None:
    view = view_at(70, node("a", 3))
    results = results_of(view).refresh((view,))
    other = View(NODES)
    other.load("another cluster", 5, [node("a", 5)])
    assert results.refresh((other,)).index == 5


def test_an_index_is_never_zero() -> None:
    view = View(NODES)
    assert results_of(view).refresh((view,)).index == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_client_that_wanders_between_gateways_never_misses_a_change(seed: int) -> None:
    """Against a client's own memory: two gateways see the same history at their own pace, forget at random, and a client that asks one
    or the other with the index it was last given must never be left waiting with another answer than the gateway has."""
    rng = random.Random(seed)
    log: list[tuple[int, Entry]] = []
    for index in range(2, 120):
        name = rng.choice(["a1", "a2", "b1", "b2"])
        log.append((index, Entry(name, index, None) if rng.random() < 0.3 else node(name, index)))
    views = [view_at(1), view_at(1)]
    places = [0, 0]
    results = [results_of(view).refresh((view,)) for view in views]
    held = (results[0].index, results[0].body)
    for _ in range(400):
        which = rng.randrange(2)
        for _ in range(rng.randrange(3)):
            if places[which] < len(log):
                index, entry = log[places[which]]
                views[which].apply(index, [entry])
                places[which] += 1
        if rng.random() < 0.05:
            results[which] = results_of(views[which])
        if rng.random() < 0.6:
            results[which].refresh((views[which],))
        if rng.random() < 0.5:
            current = results[which].refresh((views[which],))
            if current.is_due(held[0]):
                held = (current.index, current.body)
            elif held[0] <= current.views_index:
                assert held[1] == current.body, f"seed {seed}: left waiting at {held[0]} with another answer"


def test_the_answers_used_longest_ago_are_forgotten_first() -> None:
    sets = ResultSets(limit=2)
    first = sets.get("a", rendered)  # type: ignore[arg-type]
    sets.get("b", rendered)  # type: ignore[arg-type]
    assert sets.get("a", rendered) is first  # type: ignore[arg-type]
    sets.get("c", rendered)  # type: ignore[arg-type]
    assert sets.get("a", rendered) is first  # type: ignore[arg-type]
    assert len(sets) == 2


def test_an_answer_does_not_go_back_to_views_that_were_let_go() -> None:
    old, new = view_at(7, node("a", 3)), view_at(9, node("a", 9))
    results = results_of(old).refresh((old,))
    assert results.refresh((new,)).body == b"a@9"
    assert results.refresh((old,)).body == b"a@9"
    assert results.index == 9


def as_json(views: tuple[View, ...]) -> bytes:
    return b"[%b]" % b",".join(b'"%b"' % entry.key.encode() for entry in views[0].entries())


def test_no_more_bytes_are_kept_than_that_however_many_answers_there_are() -> None:
    view = view_at(7, *(node(f"a{number:04}", 3) for number in range(100)))
    body = as_json((view,))
    sets = ResultSets(max_bytes=5 * len(body))
    answers = [sets.get(key, as_json).refresh((view,)) for key in range(50)]  # type: ignore[arg-type]
    assert sum(each.kept_bytes for each in answers) <= sets.max_bytes
    assert [each.refresh((view,)).body for each in answers] == [body] * 50
    for each in answers:
        each.refresh((view,)).shown(True)
        each.keep_packed(False, body)
        each.keep((False, False, False, 0), Finished(body, b"", Contact()))
    assert sum(each.kept_bytes for each in answers) <= sets.max_bytes


def test_who_waits_for_an_answer_whose_bytes_were_dropped_sleeps_until_it_changes() -> None:
    view = view_at(7, node("a", 3))
    sets = ResultSets(max_bytes=0)
    held = sets.get("held", rendered).refresh((view,))  # type: ignore[arg-type]
    sets.get("other", rendered).refresh((view,))  # type: ignore[arg-type]
    assert held.is_condensed
    view.apply(9, [node("b", 9)])
    assert not held.refresh((view,)).is_due(7)
    assert (held.body, held.index) == (b"a@3", 7)
    sets.get("other", rendered).refresh((view,))  # type: ignore[arg-type]
    assert held.is_condensed
    view.apply(10, [node("ab", 10)])
    assert held.refresh((view,)).is_due(7)
    assert (held.body, held.index) == (b"a@3,ab@10", 10)


def test_an_answer_holds_no_view_that_was_let_go() -> None:
    view = view_at(7, node("a", 3))
    results = results_of(view).refresh((view,))
    gone = weakref.ref(view)
    del view
    assert gone() is None
    assert results.body == b"a@3"
