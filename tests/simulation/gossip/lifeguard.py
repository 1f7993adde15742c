"""The experiment that Lifeguard was judged by (Dadgar 2018, interval experiment): of some members all messages are held back for a
while, let through for a moment, and held back again, over and over. They themselves may be taken for failed; who else is, is so wrongly.

The timers of such a member run on. In the paper a probe that cannot be sent holds up the next one; here it goes on to the next member each
interval, so that a blocked member accuses more of the others than in the paper."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from rostra.gossip.core import Core
from rostra.gossip.membership import Node
from rostra.gossip.probe import Prober, Send
from rostra.gossip.timing import LAN

from .simulator import Simulation

_SETTLING_S = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """Which of Lifeguard's parts are at work."""

    name: str
    local_health: bool = False
    suspicion: bool = False
    buddy: bool = False


SWIM = Parts("SWIM, none of them")
LIFEGUARD = Parts("all: Lifeguard", local_health=True, suspicion=True, buddy=True)
ALL_PARTS = (
    SWIM,
    Parts("local health in probes", local_health=True),
    Parts("dynamic suspicion timeout", suspicion=True),
    Parts("buddy system", buddy=True),
    LIFEGUARD,
)


@dataclass(frozen=True, slots=True)
class Anomaly:
    """``blocked`` of ``members`` are so for ``blocked_s`` and are not for ``free_s``, in turns, for ``seconds``."""

    members: int
    blocked: int
    blocked_s: float
    free_s: float
    seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How often a member that was never blocked was declared failed, summed over everyone who said so; ``at_healthy`` counts only
    those who said so and were never blocked themselves."""

    false_positives: int
    at_healthy: int
    packets_per_member_s: float


class _NoBuddy(Prober):
    """A suspect is probed without being told that it is one."""

    def _begin(self, target: Node, now: float) -> Send:
        send = super()._begin(target, now)
        return send._replace(messages=send.messages[:1])


def run(anomaly: Anomaly, parts: Parts, seed: int) -> Outcome:
    timing = dataclasses.replace(
        LAN,
        suspicion_mult=5,  # the paper's alpha; beta is LAN's 6
        suspicion_max_timeout_mult=LAN.suspicion_max_timeout_mult if parts.suspicion else 1,
        awareness_max_multiplier=LAN.awareness_max_multiplier if parts.local_health else 1,
    )
    simulation = Simulation(seed, timing=timing, checks=False)
    names = simulation.start_acquainted(anomaly.members)
    if not parts.buddy:
        for process in simulation.processes.values():
            _part_from_buddy(process.core)
    simulation.run(_SETTLING_S)
    blocked = set(simulation.rng.sample(names, anomaly.blocked))
    simulation.packets_sent.clear()
    end = simulation.now + anomaly.seconds
    while simulation.now < end:
        for name in blocked:
            simulation.block(name, anomaly.blocked_s)
        simulation.run(anomaly.blocked_s + anomaly.free_s)
    wrong = [(viewer, name) for viewer, _, name in simulation.failures_reported() if name not in blocked]
    return Outcome(
        len(wrong),
        sum(viewer not in blocked for viewer, _ in wrong),
        sum(simulation.packets_sent.values()) / anomaly.members / anomaly.seconds,
    )


def _part_from_buddy(core: Core) -> None:
    prober = core._prober
    core._prober = _NoBuddy(prober.membership, prober.awareness, prober.timing, prober.rng, prober.next_probe_at)
