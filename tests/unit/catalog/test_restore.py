"""A restore: the catalog becomes what the backup holds at one index, on every catalog alike, and no index goes back."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rostra.backup.archive import BadSnapshot
from rostra.catalog.backup import Backup, BackupReader, PartMaker
from rostra.catalog.restore import PATIENCE_NS
from rostra.catalog.state import CatalogState
from rostra.errors import Conflict
from rostra.model.autopilot import AutopilotChange, AutopilotConfiguration
from rostra.model.catalog import SERF_HEALTH, HealthStatus, RestorePart
from rostra.model.topics import NODES, SERVICES, Topic, TopicKind

from .helpers import ID_1, ID_2, Book, alive, check, content, load, registration, save, service
from .test_snapshot import COMMANDS, REQUESTS, TOPICS


def file_of(state: CatalogState) -> bytes:
    return b"".join(Backup(state, "cluster", "dc1").file())


def parts_of(data: bytes, restore_id: bytes = b"r" * 16) -> list[RestorePart]:
    reader, maker = BackupReader(), PartMaker(restore_id)
    parts = [
        part for start in range(0, len(data), 500) for frames in reader.frames(data[start : start + 500]) for part in maker.add(frames)
    ]
    reader.finish()
    return [*parts, maker.finish()]


def restore(book: Book, data: bytes) -> None:
    for part in parts_of(data):
        book.ok(part)


def things(state: CatalogState) -> Iterator[Any]:
    """All that the catalog holds, without indexes and without what gossip says."""
    for table in (state.store.nodes, state.store.services, state.store.checks):
        for key, record in sorted(table.items()):
            if key[1:] != (SERF_HEALTH.lower(),):
                yield key, type(record).__name__, record.__class__.__name__, _plain(record)


def _plain(record: Any) -> Any:
    return {name: getattr(record, name) for name in record.__slots__ if name not in ("create_index", "modify_index")}


@given(REQUESTS, REQUESTS, st.lists(COMMANDS, max_size=6), st.data())
@settings(max_examples=100, deadline=None)
def test_a_restore_brings_back_everything_and_no_index_goes_back(
    old: Sequence[Any], new: Sequence[Any], meanwhile: Sequence[Any], data: st.DataObject
) -> None:
    source, book = Book(), Book()
    for command, request_id in old:
        source.do(command, request_id)
    for command, request_id in new:
        book.do(command, request_id)
    wanted, parts = list(things(source.state)), parts_of(file_of(source.state))
    follower = Book(load(save(book.state)))
    last: dict[Topic, int] = {topic: book.state.topics.of(topic) for topic in TOPICS}
    versions = {(kind, key): record.modify_index for kind, key, record in records(book.state)}
    for part in parts:
        for each in (book, follower):
            each.ok(part) if not part.last else None
        for command in meanwhile:
            assert book.do(command).outcome.index == follower.do(command).outcome.index
        versions |= {(kind, key): record.modify_index for kind, key, record in records(book.state)}
        if data.draw(st.booleans()):
            follower = Book(load(save(follower.state)))
    for each in (book, follower):
        autopilot = source.state.autopilot or each.state.autopilot
        assert each.do(parts[-1]).replaced
        assert (autopilot and _plain(autopilot)) == (each.state.autopilot and _plain(each.state.autopilot))
    assert save(book.state) == save(follower.state)
    assert save(book.state) == save(load(save(book.state)))
    assert list(things(book.state)) == wanted
    for topic in TOPICS:
        assert book.state.topics.of(topic) == book.state.applied_index > last[topic]
    for kind, key, record in records(book.state):
        assert versions.get((kind, key), 0) < record.modify_index <= book.state.applied_index
        assert 0 < record.create_index <= record.modify_index


def records(state: CatalogState) -> Iterator[tuple[str, Any, Any]]:
    for kind, table in (("node", state.store.nodes), ("service", state.store.services), ("check", state.store.checks)):
        for key, record in table.items():
            yield kind, key, record


def big() -> Book:
    book = Book()
    for number in range(300):
        book.register(f"n{number}", service=service(port=number), checks=(check("c", output="x" * 200),))
    return book


def test_a_large_backup_comes_in_several_pieces_and_shows_nothing_before_the_last() -> None:
    parts = parts_of(file_of(big().state))
    assert len(parts) > 3
    book = Book()
    book.register("a")
    for part in parts[:-1]:
        applied = book.ok(part)
        assert not applied.replaced
        assert not applied.touched
        assert [node.name for node in book.state.store.nodes] == ["a"]
    assert book.ok(parts[-1]).replaced
    assert len(book.state.store.nodes) == 300
    assert book.node("a") is None


def test_pieces_out_of_order_or_of_another_restore_end_it_without_effect() -> None:
    parts = parts_of(file_of(big().state))
    others = parts_of(file_of(big().state), b"q" * 16)
    book = Book()
    book.register("a")
    book.ok(parts[0])
    assert "is missing" in str(book.do(parts[2]).outcome.error)
    assert "given up" in str(book.do(parts[1]).outcome.error)
    book.ok(parts[0])
    book.ok(others[0])
    assert "another restore has begun" in str(book.do(parts[1]).outcome.error)
    book.ok(others[1])
    assert [node.name for node in book.state.store.nodes] == ["a"]


def test_a_restore_that_does_not_go_on_is_forgotten() -> None:
    book = Book()
    parts = parts_of(file_of(big().state))
    book.ok(parts[0])
    index = book.state.applied_index + 1
    book.state.skip(index, 1, book.state.time_ns + PATIENCE_NS + 1)
    assert book.state.staging is None
    applied = book.state.apply(index + 1, 1, book.state.time_ns, parts[1])
    assert isinstance(applied.outcome.error, Conflict)


@pytest.mark.parametrize("frames", [b"", b"x", zlib.compress(b"\0\0\0\1x"), zlib.compress(b"\0\0\0"), zlib.compress(bytes(4 << 20))])
def test_a_piece_that_is_none_is_refused_and_changes_nothing(frames: bytes) -> None:
    book = Book()
    book.register("a")
    refusal = book.refusal(RestorePart(b"r" * 16, 0, frames, last=True))
    assert isinstance(refusal, Conflict)


def test_a_piece_that_comes_twice_is_taken_once() -> None:
    book = Book()
    parts = parts_of(file_of(big().state))
    for part in parts:
        request_id = secrets.token_bytes(8)
        first = book.do(part, request_id).outcome
        assert book.do(part, request_id).outcome == first
    assert len(book.state.store.nodes) == 300


def test_gossips_word_stands_and_who_it_has_not_seen_is_critical() -> None:
    source, book = Book(), Book()
    for name, node_id in (("here", ID_1), ("other", ID_1[:-1] + "9"), ("gone", ID_2)):
        source.register(name, node_id=node_id, checks=alive(), service=service())
    book.register("here", node_id=ID_1, checks=(check(SERF_HEALTH, HealthStatus.CRITICAL, output="failed"),))
    book.register("other", node_id=ID_2[:-1] + "8", checks=alive())
    restore(book, file_of(source.state))
    found = {name: book.check(name, SERF_HEALTH) for name in ("here", "other", "gone")}
    assert {name: (check.status, check.output) for name, check in found.items() if check is not None} == {
        "here": (HealthStatus.CRITICAL, "failed"),
        "other": (HealthStatus.CRITICAL, "Restored from a backup: gossip has not seen this node yet"),
        "gone": (HealthStatus.CRITICAL, "Restored from a backup: gossip has not seen this node yet"),
    }
    book.register("other", node_id=ID_2, checks=alive())  # a new agent of that name takes it over at once


def test_how_servers_are_kept_is_restored_as_written_now_and_stays_where_the_backup_does_not_say() -> None:
    source, book = Book(), Book()
    source.ok(AutopilotChange(AutopilotConfiguration(min_quorum=3)))
    book.ok(AutopilotChange(AutopilotConfiguration(min_quorum=5)))
    restore(book, file_of(source.state))
    kept = book.state.autopilot
    assert kept is not None
    assert (kept.min_quorum, kept.create_index, kept.modify_index) == (3, 1, book.state.applied_index)
    restore(book, file_of(Book().state))
    assert book.state.autopilot == kept


def test_results_of_requests_are_this_logs_own() -> None:
    source, book = Book(), Book()
    source.do(registration("a"), b"theirs")
    book.do(registration("b"), b"ours")
    restore(book, file_of(source.state))
    assert book.state.results.get(b"theirs") is None
    assert book.state.results.get(b"ours") is not None


def test_an_empty_catalog_can_be_restored_too() -> None:
    book = Book()
    book.register("a", service=service())
    restore(book, file_of(Book().state))
    assert content(book.state, NODES) == content(book.state, SERVICES) == {}
    assert book.state.topics.of(Topic(TopicKind.NODE, "a")) == book.state.applied_index


def test_indexes_go_on_after_a_restore() -> None:
    book = Book()
    restore(book, file_of(big().state))
    restored = book.state.applied_index
    book.register("n1", "10.0.0.99")
    assert book.state.topics.of(NODES) == restored + 1
    assert book.state.topics.of(Topic(TopicKind.NODE, "n2")) == restored
    assert save(load(save(book.state))) == save(book.state)


def test_a_backup_with_records_that_no_door_would_take_is_refused() -> None:
    book = Book()
    book.register("a", service=service())
    key = ("a", "web")
    held = book.state.store.services.get(key)
    assert held is not None
    book.state.store.set_service(key, service("web", port=99_999))
    with pytest.raises(BadSnapshot, match=r"Service\.Port 99999 is not a port"):
        parts_of(file_of(book.state))
