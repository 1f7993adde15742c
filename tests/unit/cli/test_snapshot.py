"""``rostra snapshot``: Consul 1.8.7's words, and a file that is whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rostra.backup.archive import ArchiveWriter, Kind, Meta, Summary

from .conftest import FakeAgent, Rostra

META = Meta(id="2-12-1", cluster="0c6a", datacenter="dc1", index=12, term=2, time="2026-01-01T00:00:00Z", software="rostra 0.1")


def snapshot() -> bytes:
    writer = ArchiveWriter(META)
    summary = Summary(size=5, records={"nodes": Kind(1, 5), "services": Kind(), "checks": Kind()})
    return writer.begin() + writer.add(b"state") + writer.finish(summary)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.snap"
    path.write_bytes(snapshot())
    return path


def test_save_writes_what_it_has_verified(agent: FakeAgent, rostra: Rostra, tmp_path: Path) -> None:
    agent.answers["GET /v1/snapshot"] = snapshot()
    outcome = rostra("snapshot", "save", "-stale", str(tmp_path / "a.snap"))
    assert (outcome.code, outcome.out) == (0, "Saved and verified snapshot to index 12\n")
    assert (tmp_path / "a.snap").read_bytes() == snapshot()
    assert (tmp_path / "a.snap").stat().st_mode & 0o077 == 0
    assert agent.requests[0].query == {"stale": [""]}


@pytest.mark.parametrize("answer", [snapshot()[:-5], b"", (500, "No cluster leader")])
def test_save_leaves_nothing_of_what_is_not_whole(agent: FakeAgent, rostra: Rostra, tmp_path: Path, answer: object) -> None:
    agent.answers["GET /v1/snapshot"] = answer
    kept = tmp_path / "a.snap"
    kept.write_bytes(b"the one before")
    outcome = rostra("snapshot", "save", str(kept))
    assert outcome.code == 1
    assert outcome.err.startswith(("Error verifying snapshot: the snapshot is", "Error saving snapshot: Unexpected response code: 500"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.snap"]
    assert kept.read_bytes() == b"the one before"


def test_restore_sends_the_file(agent: FakeAgent, rostra: Rostra, file: Path) -> None:
    agent.answers["PUT /v1/snapshot"] = b""
    outcome = rostra("snapshot", "restore", str(file))
    assert (outcome.code, outcome.out) == (0, "Restored snapshot\n")
    assert agent.requests[0].body == snapshot()


def test_a_refused_restore_says_why(agent: FakeAgent, rostra: Rostra, file: Path) -> None:
    agent.answers["PUT /v1/snapshot"] = (400, "the snapshot is damaged")
    outcome = rostra("snapshot", "restore", str(file))
    assert (outcome.code, outcome.err) == (1, "Error restoring snapshot: Unexpected response code: 400 (the snapshot is damaged)\n")


def test_inspect_shows_what_the_file_is_of(rostra: Rostra, file: Path) -> None:
    outcome = rostra("snapshot", "inspect", str(file))
    assert outcome.code == 0
    assert outcome.out.splitlines()[:5] == [
        "ID          2-12-1", "Size        5", "Index       12", "Term        2", "Version     1",
    ]  # fmt: skip
    assert outcome.out.splitlines()[-4:] == ["Type      Count  Size", "nodes     1      5", "services  0      0", "checks    0      0"]
    shown = json.loads(rostra("snapshot", "inspect", "-format=json", str(file)).out)
    assert (shown["Meta"]["Index"], shown["Stats"][0]) == (12, {"Name": "nodes", "Count": 1, "Sum": 5})


def test_inspect_refuses_what_is_none(rostra: Rostra, file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"hello")
    outcome = rostra("snapshot", "inspect", str(file))
    assert (outcome.code, outcome.err) == (
        1,
        "Error verifying snapshot: the file is no snapshot: it is not compressed by gzip\n",
    )
    for command in ("inspect", "restore"):
        outcome = rostra("snapshot", command, "nofile")
        assert (outcome.code, outcome.err) == (1, "Error opening snapshot file: open nofile: no such file or directory\n")


@pytest.mark.parametrize("command", ["save", "inspect", "restore"])
def test_a_file_must_be_named(rostra: Rostra, command: str) -> None:
    outcome = rostra("snapshot", command)
    assert (outcome.code, outcome.err) == (1, "Missing FILE argument\n")
