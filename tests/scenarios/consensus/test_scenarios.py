"""Stories of whole clusters, as text: a command, four dashes, what happened. ``python test_scenarios.py --rewrite`` writes down
what happens now; the diff is what to review.

Commands: ``cluster COUNT [trailing=N]``, ``elect SERVER``, ``wait SECONDS``, ``propose SERVER DATA…``, ``deliver [lose=KIND]``,
``cut SERVER…`` (from all others), ``heal``, ``disk SERVER on|off``, ``restart SERVER``, ``add SERVER``, ``learner|promote|remove
LEADER SERVER``, ``transfer LEADER [SERVER]``, ``snapshot SERVER``, ``install LEADER SERVER``, ``read SERVER lease|quorum``,
``status``, ``log SERVER``, ``replication LEADER``. Messages are delivered only by ``deliver``, ``elect`` and ``wait``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rostra.consensus import events, messages
from rostra.consensus.configuration import Configuration
from rostra.consensus.model import ChangeAction, EntryKind, Member, PeerId, ReadMode, Suffrage
from rostra.consensus.ready import Options
from rostra.errors import RostraError

HERE = Path(__file__).resolve().parent
FILES = sorted(HERE.glob("*.txt"))


def _load_helpers() -> ModuleType:
    """The cluster of the unit tests; loaded by path, since test folders are no packages of each other."""
    path = HERE.parents[1] / "unit" / "consensus" / "helpers.py"
    specification = importlib.util.spec_from_file_location("consensus_scenario_helpers", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


helpers = _load_helpers()


class Scenario:
    """Plays one file."""

    def __init__(self) -> None:
        self.cluster: Any = None
        self._told: dict[str, int] = {}
        self._snapshots = 0

    def play(self, line: str) -> str:
        """Performs one command and tells what happened."""
        verb, *words = line.split()
        command: Callable[..., list[str]] = getattr(self, f"do_{verb}")
        try:
            lines = command(*words)
        except RostraError as error:
            lines = [f"{type(error).__name__}: {error}"]
        return "\n".join([*self._news(), *lines]) or "ok"

    def _news(self) -> Iterator[str]:
        for name, server in self.cluster.servers.items():
            for event in server.events[self._told.get(name, 0) :]:
                if not isinstance(event, events.PeerStateChanged | events.VotesNeeded | events.ConfigurationFound):
                    yield f"{name} {_describe(event)}"
            self._told[name] = len(server.events)

    def do_cluster(self, count: str, trailing: str = "trailing=10240") -> list[str]:
        options = Options(trailing_logs=int(trailing.removeprefix("trailing=")))
        self.cluster = helpers.Cluster(int(count), options)
        self._told = {name: len(server.events) for name, server in self.cluster.servers.items()}
        return []

    def do_elect(self, name: str) -> list[str]:
        self.cluster.elect(name)
        return []

    def do_wait(self, seconds: str) -> list[str]:
        self.cluster.advance(float(seconds))
        return []

    def do_propose(self, name: str, *data: str) -> list[str]:
        return [f"first index {self.cluster[name].propose(*[word.encode() for word in data])}"]

    def do_deliver(self, lose: str = "") -> list[str]:
        kinds = [getattr(messages, lose.removeprefix("lose="))] if lose else []
        self.cluster.deliver(drop=kinds)
        return []

    def do_cut(self, *names: str) -> list[str]:
        self.cluster.cut = set(names)
        return []

    def do_heal(self) -> list[str]:
        self.cluster.cut = set()
        return []

    def do_disk(self, name: str, state: str) -> list[str]:
        self.cluster[name].disk = state == "on"
        self.cluster[name].pump()
        return []

    def do_restart(self, name: str) -> list[str]:
        self.cluster[name].start()
        self._told[name] = 0
        self.cluster[name].pump()
        return []

    def do_add(self, name: str) -> list[str]:
        self.cluster.servers[name] = helpers.Server(self.cluster, name, self.cluster["n1"].options)
        self._told[name] = 0
        self.cluster[name].pump()
        return []

    def do_learner(self, leader: str, name: str) -> list[str]:
        return self._change(leader, ChangeAction.ADD_LEARNER, name)

    def do_promote(self, leader: str, name: str) -> list[str]:
        return self._change(leader, ChangeAction.PROMOTE, name)

    def do_remove(self, leader: str, name: str) -> list[str]:
        return self._change(leader, ChangeAction.REMOVE, name)

    def _change(self, leader: str, action: ChangeAction, name: str) -> list[str]:
        server = self.cluster[leader]
        member = Member(self.cluster[name].id, Suffrage.LEARNER, name)
        index = server.core.change_membership(action, member, 1, self.cluster.now)
        server.pump()
        return [f"index {index}"]

    def do_transfer(self, leader: str, target: str = "") -> list[str]:
        server = self.cluster[leader]
        chosen = server.core.transfer(self.cluster[target].id if target else None, self.cluster.now)
        server.pump()
        return [f"to {chosen.node_id}"]

    def do_snapshot(self, name: str) -> list[str]:
        server = self.cluster[name]
        self._snapshots += 1
        meta = server.core.describe_snapshot(server.core.deliverable_index, f"s{self._snapshots}")
        server.core.snapshot_saved(meta)
        server.pump()
        return [f"snapshot of {meta.index}, log from {server.core.log.first_index}"]

    def do_install(self, leader: str, name: str) -> list[str]:
        server, receiver = self.cluster[leader], self.cluster[name]
        meta = server.core.snapshot
        receiver.core.step(
            messages.SnapshotInstalled(meta.cluster_id, server.id, receiver.id, server.core.term, meta=meta), self.cluster.now
        )
        receiver.pump()
        return []

    def do_read(self, name: str, mode: str) -> list[str]:
        server = self.cluster[name]
        server.reads.clear()
        server.read(ReadMode(mode))
        self.cluster.deliver()
        return [f"index {result.index}" if result.index else "no answer" for result in server.reads] or ["waits"]

    def do_status(self) -> list[str]:
        return [
            f"{name} {server.core.role.value} term {server.core.term} log {server.core.log.first_index}-{server.core.log.last_index} "
            f"commit {server.core.commit_index} {_members(server.core.configuration)}"
            for name, server in self.cluster.servers.items()
        ]

    def do_log(self, name: str) -> list[str]:
        log = self.cluster[name].core.log
        return [
            f"{entry.index} term {entry.term} {EntryKind(entry.kind).name.lower()} "
            f"{entry.data.decode() if entry.kind == EntryKind.COMMAND else ''}".rstrip()
            for entry in log.slice(log.first_index, log.last_index + 1)
        ]

    def do_replication(self, leader: str) -> list[str]:
        return [
            f"{peer.node_id} {progress.state.value} match {progress.match_index} next {progress.next_index}"
            for peer, progress in self.cluster[leader].core.progress.items()
        ]


def _describe(event: events.Event) -> str:
    fields = [f"{name}={_plain(getattr(event, name))}" for name in event.__dataclass_fields__]
    return " ".join([type(event).__name__, *fields])


def _plain(value: object) -> object:
    if isinstance(value, PeerId):
        return value.node_id
    return _members(value) if isinstance(value, Configuration) else value


def _members(configuration: Configuration) -> str:
    voters = configuration.voters
    return "[" + " ".join(sorted(m.id.node_id + ("" if m.id in voters else "(learner)") for m in configuration.members)) + "]"


def render(text: str) -> str:
    """The file as it would be written now."""
    scenario, blocks = Scenario(), []
    for block in text.strip().split("\n\n"):
        head = block.split("\n----")[0]
        command = [line for line in head.splitlines() if not line.startswith("#")]
        blocks.append(f"{head}\n----\n{scenario.play(command[0])}" if command else head)
    return "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_story_goes_as_written(path: Path) -> None:
    text = path.read_text()
    assert render(text) == text


if __name__ == "__main__" and "--rewrite" in sys.argv:
    for file in FILES:
        file.write_text(render(file.read_text()))
