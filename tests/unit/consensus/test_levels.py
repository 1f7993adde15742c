"""Versions side by side: a kind of command that is new is used only once every server understands it, and from then on for good
(docs/design/versions.md)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from rostra.consensus.configuration import Configuration
from rostra.consensus.core import Core, Role
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.messages import SnapshotInstalled
from rostra.consensus.model import ChangeAction, Member, SnapshotMeta, Suffrage
from rostra.consensus.ready import Options
from rostra.errors import Busy, NotLeader, Unsupported

from .helpers import TIMING, Cluster, Server

NEW = Options(command_level=2)


def rolled(cluster: Cluster, name: str, options: Options) -> Server:
    """Stops a server and starts another version on its disk."""
    server = cluster[name]
    server.options = options
    server.start()
    server.pump()
    return server


def use(leader: Server, level: int = 2) -> None:
    leader.core.require_level(level, 1, leader.cluster.now)
    leader.propose(b"new")
    leader.cluster.deliver()


@pytest.fixture
def cluster() -> Cluster:
    """Three old servers, of which n1 leads."""
    cluster = Cluster(3, Options(command_level=1))
    cluster.elect("n1")
    cluster.deliver()
    return cluster


def test_a_new_command_is_refused_by_name_until_every_server_understands_it(cluster: Cluster) -> None:
    with pytest.raises(Unsupported, match="the leader understands level 1"):
        use(cluster["n1"])
    for name in ("n2", "n3"):
        rolled(cluster, name, NEW)
    leader = cluster.elect("n2")
    cluster.advance(0.2)
    with pytest.raises(Unsupported, match="server n1 understands level 1"):
        use(leader)
    assert leader.core.configuration.level == 1
    rolled(cluster, "n1", NEW)
    cluster.advance(0.3)
    use(leader)
    assert {server.core.configuration.level for server in cluster.servers.values()} == {2}
    assert leader.core.commit_index == leader.core.log.last_index


def test_every_server_must_be_there_when_it_is_first_used_and_not_later() -> None:
    cluster = Cluster(3, NEW)
    leader = cluster.elect("n1")
    cluster.deliver()
    cluster.cut.add("n3")
    cluster.advance(1.5)
    with pytest.raises(Unsupported, match="server n3 has to be there"):
        use(leader)
    cluster.cut.clear()
    cluster.advance(0.3)
    use(leader)
    cluster.cut.add("n3")
    cluster.advance(1.5)
    use(leader)
    assert leader.core.configuration.level == 2


def test_a_new_version_can_be_rolled_back_before_the_first_use_and_not_after(cluster: Cluster) -> None:
    for name in ("n2", "n3"):
        rolled(cluster, name, NEW)
    leader = cluster.elect("n2")
    rolled(cluster, "n1", NEW)
    cluster.advance(0.3)
    rolled(cluster, "n3", Options(command_level=1))
    cluster.advance(0.3)
    with pytest.raises(Unsupported, match="server n3 understands level 1"):
        use(leader)
    rolled(cluster, "n3", NEW)
    cluster.advance(0.3)
    use(leader)
    with pytest.raises(Unsupported, match=r"has used commands of level 2, and this version of rostra understands level 1"):
        rolled(cluster, "n3", Options(command_level=1))


def test_an_old_version_takes_no_entry_nor_snapshot_of_a_newer_cluster() -> None:
    cluster = Cluster(2, NEW)
    leader = cluster.elect("n1")
    cluster.deliver()
    follower = cluster["n2"]
    follower.core.options = replace(NEW, command_level=1)  # as if it had been rolled back in the moment of the first use
    before = follower.core.log.last_index
    leader.core.require_level(2, 1, cluster.now)
    leader.pump()
    with pytest.raises(Unsupported, match="level 2"):
        cluster.deliver()
    assert follower.core.log.last_index == before
    newer = leader.core.configuration.encode()
    meta = SnapshotMeta("s", "cluster", 50, 9, 0, newer, 40)
    with pytest.raises(Unsupported, match="level 2"):
        follower.core.step(SnapshotInstalled("cluster", leader.id, follower.id, leader.core.term, meta=meta), cluster.now)
    assert follower.core.snapshot is None


def test_an_older_version_refuses_a_newer_store_on_disk(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    core = Core(recovered=store.recover(), node_id="n1", reader=store, timing=TIMING, random=Random(1), now=0.0, options=NEW)
    member = Member(core.id, Suffrage.VOTER)
    core.bootstrap(Configuration("cluster", (member,), 2))
    ready = core.ready(0.0)
    assert ready is not None
    assert ready.write is not None
    store.perform([ready.write])
    found = store.recover()
    with pytest.raises(Unsupported, match="cluster cluster has used commands of level 2"):
        Core(recovered=found, node_id="n1", reader=store, timing=TIMING, random=Random(1), now=0.0, options=Options(command_level=1))
    store.close()


def test_the_level_stays_over_changes_of_the_membership_and_never_falls() -> None:
    cluster = Cluster(3, NEW)
    leader = cluster.elect("n1")
    cluster.deliver()
    use(leader)
    leader.core.change_membership(ChangeAction.REMOVE, Member(cluster["n3"].id, Suffrage.VOTER), 1, cluster.now)
    leader.pump()
    cluster.deliver()
    assert leader.core.configuration.level == 2
    use(leader, level=1)
    assert leader.core.configuration.level == 2


def test_raising_the_level_waits_for_a_change_under_way_and_for_office() -> None:
    cluster = Cluster(3, NEW)
    leader = cluster.elect("n1")
    cluster.deliver()
    newcomer = Member(leader.id._replace(node_id="n4", store_id="s4"), Suffrage.LEARNER)
    leader.core.change_membership(ChangeAction.ADD_LEARNER, newcomer, 1, cluster.now)
    with pytest.raises(Unsupported, match="server n4 has to be there"):
        leader.core.require_level(2, 1, cluster.now)
    leader.core.progress[newcomer.id].command_level = 2
    with pytest.raises(Busy, match="not committed yet"):
        leader.core.require_level(2, 1, cluster.now)
    with pytest.raises(NotLeader):
        cluster["n2"].core.require_level(2, 1, cluster.now)
    assert cluster["n2"].core.role is Role.FOLLOWER
