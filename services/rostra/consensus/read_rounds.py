"""Rounds of one ReadIndex stream, answered as their index becomes known.

The first attempt is the driver's batch and a callback: with neither a task nor a timer of its own a round takes half the turns of the loop.
If it brings nothing (no leader yet, an answer that was lost), a task makes others until the round's time is up.
"""

from __future__ import annotations

import asyncio
from typing import Final

from rostra.consensus.answers import Answers
from rostra.consensus.driver import Consensus
from rostra.consensus.model import ReadMode
from rostra.errors import RostraError
from rostra.rpc.deadlines import Deadlines
from rostra.rpc.status import detail_from_error
from rostra.v1 import common_pb2, consensus_pb2

HOLD_S: Final = 7.0
"""How long a request waits that does not say."""


class ReadRounds:
    """Each that is started was begun with ``answers`` before."""

    def __init__(self, consensus: Consensus, answers: Answers[consensus_pb2.ReadIndexResponse]) -> None:
        self._consensus = consensus
        self._answers = answers
        self._deadlines: Deadlines[asyncio.Future[int]] = Deadlines(consensus.forget_read)
        self._closed = False

    def start(self, request: consensus_pb2.ReadRound) -> None:
        """Answers it when its time comes."""
        now, timeout_s = asyncio.get_running_loop().time(), request.timeout_ms / 1000 or HOLD_S
        try:
            batch = self._consensus.join_read(mode_of(request))
        except RostraError as error:
            self._answers.end(_result(request, 0, error))
            return
        batch.add_done_callback(lambda batch: self._tell(request, batch, now + timeout_s))
        self._deadlines.add(batch, now + min(timeout_s, self._consensus.read_attempt_s))

    def close(self) -> None:
        """The stream has ended."""
        self._closed = True
        self._deadlines.clear()

    def _tell(self, request: consensus_pb2.ReadRound, batch: asyncio.Future[int], until: float) -> None:
        self._deadlines.discard(batch)
        if self._closed:
            return
        if index := batch.result():
            self._answers.end(_result(request, index))
        else:
            self._answers.start(self._try_again(request, until))

    async def _try_again(self, request: consensus_pb2.ReadRound, until: float) -> consensus_pb2.ReadIndexResponse:
        timeout_s = until - asyncio.get_running_loop().time()
        try:
            index = await self._consensus.read_index(mode_of(request), timeout_s=timeout_s)
        except RostraError as error:
            return _result(request, 0, error)
        return _result(request, index)


def mode_of(request: consensus_pb2.ReadRound | consensus_pb2.GetReadIndexRequest) -> ReadMode:
    """How it is to be made sure that this server leads."""
    return ReadMode.QUORUM if request.consistency == common_pb2.CONSISTENCY_CONSISTENT else ReadMode.LEASE


def _result(request: consensus_pb2.ReadRound, index: int, error: RostraError | None = None) -> consensus_pb2.ReadIndexResponse:
    detail = None if error is None else detail_from_error(error)
    return consensus_pb2.ReadIndexResponse(result=consensus_pb2.ReadRoundResult(round=request.round, index=index, error=detail))
