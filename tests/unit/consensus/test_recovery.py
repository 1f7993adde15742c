"""``peers.json``: the survivors of a lost quorum go on with what they have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import pytest

from rostra.consensus.configuration import Configuration, decode_configuration
from rostra.consensus.core import Core
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.model import Entry, EntryKind, HardState, Member, PeerId, SnapshotMeta, Suffrage, Write
from rostra.consensus.recovery import recover_from_file
from rostra.consensus.snapshots import FileSnapshots
from rostra.errors import BadRequest, Conflict

from .helpers import TIMING


class Survivor:
    """n1 of three servers, with a snapshot up to 3 and a log of 4 to 6, whose 5 is a configuration."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "peers.json"
        self.store = LmdbStore(folder / "consensus")
        self.snapshots = FileSnapshots(folder / "consensus" / "snapshots")
        self.own = PeerId("n1", self.store.recover().store_id)
        others = [PeerId(name, f"store-{name}") for name in ("n2", "n3")]
        members = tuple(Member(each, Suffrage.VOTER, f"name-{each.node_id}", "10.0.0.1:8300") for each in (self.own, *others))
        former = Configuration("cluster", members).encode()
        meta = SnapshotMeta("snapshot", "cluster", 3, 2, 0, former, 1)
        writer = self.snapshots.create(meta)
        writer.write(b"state")
        writer.finish()
        entries = [
            Entry(4, 2, int(EntryKind.COMMAND), 0, b"a"),
            Entry(5, 2, int(EntryKind.CONFIGURATION), 0, former),
            Entry(6, 2, int(EntryKind.COMMAND), 0, b"b"),
        ]
        self.store.perform([Write(1, HardState(2, cluster_id="cluster"), restore=True, snapshot=meta), Write(2, entries=entries)])

    def recover(self, peers: Sequence[Mapping[str, object]]) -> None:
        self.file.write_text(json.dumps(peers))
        recover_from_file(self.file, self.store, self.snapshots, "n1")


@pytest.fixture
def survivor(tmp_path: Path) -> Survivor:
    return Survivor(tmp_path)


def test_the_list_takes_the_place_of_every_configuration_and_the_rest_stays(survivor: Survivor) -> None:
    survivor.recover([{"id": "n1", "address": "10.0.0.9:8300"}, {"id": "n2", "address": "10.0.0.2:8300", "non_voter": True}])
    assert not survivor.file.exists()
    found = survivor.store.recover()
    assert found.snapshot is not None
    configurations = [found.snapshot.configuration, *(data for _, data in found.configurations), survivor.store.entries(5, 6)[0].data]
    for data in configurations:
        members = decode_configuration(data).members
        assert [(each.id.store_id, each.suffrage, each.address) for each in members] == [
            (survivor.own.store_id, Suffrage.VOTER, "10.0.0.9:8300"),
            ("store-n2", Suffrage.LEARNER, "10.0.0.2:8300"),
        ]
    assert b"".join(survivor.snapshots.read(found.snapshot)) == b"state"
    assert [(entry.index, entry.term) for entry in survivor.store.entries(4, 7)] == [(4, 2), (5, 2), (6, 2)]
    assert survivor.store.verify() == 3


def test_a_sole_survivor_can_be_elected(survivor: Survivor) -> None:
    survivor.recover([{"id": "n1", "address": "10.0.0.1:8300"}])
    core = Core(recovered=survivor.store.recover(), node_id="n1", reader=survivor.store, timing=TIMING, random=Random(1), now=0.0)
    core.tick(core.deadline)
    ready = core.ready(core.deadline)
    assert ready is not None
    assert ready.write is not None
    core.persisted(ready.write.number, core.deadline)
    assert core.role.value == "leader"


@pytest.mark.parametrize(
    ("peers", "problem"),
    [
        ([{"id": "n2", "address": "a:1"}], "is not listed"),
        ([{"id": "n1", "address": "a:1"}, {"id": "n9", "address": "a:1"}], "was no server of this cluster"),
        ([{"id": "n1", "address": "a:1"}, {"id": "n1", "address": "a:1"}], "listed twice"),
        ([{"id": "n1", "address": "a:1", "non_voter": True}], "no voter"),
        ([{"id": "n1"}], "missing required field"),
        ([{"id": "n1", "address": "a:1", "voter": True}], "unknown field"),
    ],
)
def test_a_list_that_makes_no_sense_changes_nothing(survivor: Survivor, peers: Sequence[Mapping[str, object]], problem: str) -> None:
    before = survivor.store.recover()
    with pytest.raises(BadRequest, match=problem):
        survivor.recover(peers)
    assert survivor.store.recover() == before
    assert survivor.file.exists()


def test_an_empty_store_has_nothing_to_recover(tmp_path: Path) -> None:
    file = tmp_path / "peers.json"
    file.write_text("[]")
    with pytest.raises(Conflict, match="belongs to no cluster"):
        recover_from_file(file, LmdbStore(tmp_path / "consensus"), FileSnapshots(tmp_path / "snapshots"), "n1")
