"""Leaving a pool so that everyone sees it as left, not failed (gossip-wire section 12.4): intent, goodbye, a moment to let it spread."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass

from rostra.gossip.broadcasts import BroadcastQueue
from rostra.gossip.timing import Timing


class LeaveStep(enum.Enum):
    """Where a departure stands; the values are for the log."""

    INTENT = "telling the pool that we are about to leave"
    GOODBYE = "telling the pool that we have left"
    LINGER = "answering until the news has spread"
    DONE = "left"


@dataclass(frozen=True, slots=True)
class LeaveProgress:
    step: LeaveStep


@dataclass(slots=True)
class Departure:
    """The steps in order. Each of the first two lasts until its broadcast has been sent as often as it should, or too long.

    ``say_goodbye`` puts the second message into ``node_queue`` and returns its number.
    """

    timing: Timing
    intents: BroadcastQueue
    node_queue: BroadcastQueue
    say_goodbye: Callable[[float], int]
    alone: bool
    step: LeaveStep = LeaveStep.INTENT
    deadline: float = math.inf
    _broadcast: int = 0

    def begin(self, intent: int, now: float) -> LeaveProgress:
        """``intent`` is the number of the first message in ``intents``."""
        self._broadcast = intent
        self.deadline = now if self.alone else now + self.timing.broadcast_timeout_s
        return LeaveProgress(LeaveStep.INTENT)

    def tick(self, now: float) -> LeaveProgress | None:
        """The next step, when it has come."""
        due = self.deadline <= now
        match self.step:
            case LeaveStep.INTENT if due or not self.intents.is_pending(self._broadcast):
                self._broadcast = self.say_goodbye(now)
                self._enter(LeaveStep.GOODBYE, now + self.timing.broadcast_timeout_s, now)
            case LeaveStep.GOODBYE if due or not self.node_queue.is_pending(self._broadcast):
                self._enter(LeaveStep.LINGER, now + self.timing.leave_propagate_delay_s, now)
            case LeaveStep.LINGER if due:
                self._enter(LeaveStep.DONE, math.inf, math.inf)
            case _:
                return None
        return LeaveProgress(self.step)

    def _enter(self, step: LeaveStep, deadline: float, now: float) -> None:
        self.step = step
        self.deadline = now if self.alone else deadline
