"""Feeds the state from consensus: attaches, loads a snapshot when told to, applies entries, hands a snapshot over when asked.

The connection may break at any time: the state stays and answers stale reads, and the next attachment goes on from its
last entry. A consensus of another cluster means that the log was lost or replaced: then, and only then, the state is
dropped, and those who watched it are told.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError

from rostra.catalog import metrics
from rostra.catalog.handover import Handover
from rostra.catalog.publications import Publications
from rostra.catalog.results import Outcome
from rostra.catalog.snapshot import Loader
from rostra.catalog.state import CatalogState
from rostra.clients.consensus import (
    AttachStream,
    CommittedEntry,
    ConsensusClient,
    Entries,
    SnapshotData,
    SnapshotStart,
    SnapshotWanted,
)
from rostra.errors import BadRequest, RostraError, Unsupported
from rostra.model.catalog import Command
from rostra.model.proto import command_from_proto
from rostra.rpc.back_off import BackOff
from rostra.rpc.together import run_together
from rostra.v1 import command_pb2
from rostra.version import COMMAND_LEVEL
from rostra.views.reached import ReachedIndex

log = logging.getLogger("rostra.catalog")

SLICE_S: Final = 0.001
"""Longest turn of the loop that applying or loading takes before others have theirs."""
LOOK_AGAIN_S: Final = 0.2
"""How long a refused attachment waits before it asks whether the cluster is another one."""


class UnknownCommand(Exception):
    """The log holds a command that this version cannot do. The catalog must stop: going on would make it lie."""


class CatalogDriver:
    """``command_of`` gives the request ID and command of an entry's bytes where they are known already; ``on_applied`` is called with
    the request ID and outcome of each command, right after it was applied and published; ``on_replaced`` when another state took the
    place of the one so far, with whether it is of another cluster."""

    def __init__(
        self,
        consensus: ConsensusClient,
        *,
        primary: bool,
        command_of: Callable[[bytes], tuple[bytes, Command] | None],
        on_applied: Callable[[bytes, Outcome], None],
        on_replaced: Callable[[bool], None],
        rng: random.Random,
    ) -> None:
        self.state = CatalogState()
        self.publications = Publications(self.state)
        self.applied = ReachedIndex()
        self.cluster_id = ""
        self.attached = False
        self.caught_up = False
        self._consensus = consensus
        self._primary = primary
        self._command_of = command_of
        self._on_applied = on_applied
        self._on_replaced = on_replaced
        self._rng = rng
        self._loader: Loader | None = None
        self._loading: SnapshotStart | None = None
        self._loading_since = 0.0

    def is_caught_up(self, commit_index: int | None) -> bool:
        """Whether the state was once as new as the log; ``commit_index`` is where consensus last said that the log is."""
        if not self.caught_up and self.attached and commit_index is not None:
            self.caught_up = self.state.applied_index >= commit_index
        return self.caught_up

    async def run(self) -> None:
        """For ever: attaches again whenever the attachment ends."""
        backoff = BackOff(self._rng)
        last_problem = ""
        while True:
            try:
                await self._attach_once(backoff)
            except Unsupported:
                raise  # the log may hold commands that this version does not know: stop, as for one that is there
            except RostraError as error:
                problem = str(error)
                if problem != last_problem:
                    log.warning("not attached to consensus", extra={"reason": problem})
                last_problem = problem
            if self.attached:
                last_problem = ""
            self.attached = False
            metrics.ATTACHED.set(0)
            await asyncio.sleep(backoff.next_delay_s())
            await self._look_for_another_cluster()

    async def _attach_once(self, backoff: BackOff) -> None:
        state = self.state
        stream = self._consensus.attach(
            cluster_id=self.cluster_id,
            applied_index=state.applied_index,
            applied_term=state.applied_term,
            primary=self._primary,
            command_level=COMMAND_LEVEL,
        )
        async with stream:
            self.cluster_id = stream.cluster_id
            self.attached = True
            metrics.ATTACHED.set(1)
            backoff.reset()
            log.info("attached to consensus", extra={"cluster": self.cluster_id, "applied_index": state.applied_index})
            handover = Handover(stream, lambda: self.state, self.cluster_id)
            self._loader = None
            await run_together(receive=self._receive(stream, handover), hand_over=handover.run())

    async def _receive(self, stream: AttachStream, handover: Handover) -> None:
        while True:
            match await stream.receive():
                case Entries() as event:
                    await self._apply(event)
                    handover.report()
                case SnapshotStart() as event:
                    self._loader, self._loading, self._loading_since = Loader(), event, time.perf_counter()
                case SnapshotData() as event:
                    await self._load(event)
                    if event.last:
                        handover.report()
                case SnapshotWanted() as event:
                    handover.want(event.minimum_index)

    async def _apply(self, event: Entries) -> None:
        """Entry by entry; others have their turn in between, and never see half an entry."""
        started = turn = time.perf_counter()
        for entry in event.entries:
            if entry.index <= self.state.applied_index:
                continue
            self._apply_entry(entry)
            if time.perf_counter() - turn > SLICE_S:
                await asyncio.sleep(0)
                turn = time.perf_counter()
        self.caught_up = self.caught_up or self.state.applied_index >= event.commit_index
        metrics.APPLIED.inc(len(event.entries))
        took_s = time.perf_counter() - started
        metrics.APPLY_SECONDS.observe(took_s)
        metrics.STATE_MACHINE.observe("raft.fsm.apply", took_s)

    def _apply_entry(self, entry: CommittedEntry) -> None:
        if entry.data:
            known = self._command_of(entry.data)
            request_id, command = _decode(entry) if known is None else known
            self._apply_command(entry, command, request_id)
        else:
            self.state.skip(entry.index, entry.term, entry.time_ns)
        self.applied.advance(entry.index)

    def _apply_command(self, entry: CommittedEntry, command: Command | BadRequest, request_id: bytes) -> None:
        if isinstance(command, BadRequest):
            applied = self.state.refuse(entry.index, entry.term, entry.time_ns, command, request_id)
        else:
            applied = self.state.apply(entry.index, entry.term, entry.time_ns, command, request_id)
        if applied.replaced:
            self._restored()
        else:
            self.publications.publish(entry.index, applied)
        self._on_applied(request_id, applied.outcome)

    def _restored(self) -> None:
        """Everyone who watches is given what there is now; the log goes on as before."""
        self.publications.reload(self.state)
        self._on_replaced(False)
        log.info("catalog restored from a backup", extra={"index": self.state.applied_index, "nodes": len(self.state.store.nodes)})

    async def _load(self, event: SnapshotData) -> None:
        """Loads beside the state that answers, and puts it in its place when it is whole."""
        loader, start = self._loader, self._loading
        if loader is None or start is None:
            return
        loader.feed(event.data)
        more = True
        while more:
            more = loader.step()
            await asyncio.sleep(0)
        if not event.last:
            return
        state = loader.finish() if start.last_index else CatalogState()
        self._loader = self._loading = None
        self._replace(state, another_cluster=False)
        metrics.restored(time.perf_counter() - self._loading_since)
        log.info("snapshot loaded", extra={"index": state.applied_index, "nodes": len(state.store.nodes)})

    def _replace(self, state: CatalogState, *, another_cluster: bool) -> None:
        self.state = state
        self.publications.reload(state)
        self.applied.restart(state.applied_index)
        metrics.APPLIED_INDEX.set(state.applied_index)
        self._on_replaced(another_cluster)

    async def _look_for_another_cluster(self) -> None:
        """After a broken attachment: whether consensus has begun anew, and with it the catalog."""
        if not self.cluster_id:
            return
        try:
            status = await self._consensus.get_status(LOOK_AGAIN_S)
        except RostraError:
            return
        if status.cluster_id and status.cluster_id != self.cluster_id:
            log.warning("consensus belongs to another cluster: starting over", extra={"was": self.cluster_id, "is": status.cluster_id})
            self.cluster_id = ""
            self.caught_up = False
            self._replace(CatalogState(), another_cluster=True)


def _decode(entry: CommittedEntry) -> tuple[bytes, Command | BadRequest]:
    """Request ID, and the command or why it is none that can be done."""
    try:
        message = command_pb2.Command.FromString(entry.data)
    except DecodeError:
        raise UnknownCommand(f"entry {entry.index} of the log is no command") from None
    if message.WhichOneof("kind") is None:
        raise UnknownCommand(f"entry {entry.index} of the log holds a kind of command that this version does not know")
    try:
        return message.request_id, command_from_proto(message)
    except BadRequest as error:
        return message.request_id, error
