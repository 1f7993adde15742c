"""What must be true of a history, whatever went wrong meanwhile. Each check returns the sentences that say what was not."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from .history import Call, Fault, History, Kind

CLEAR: Final = re.compile(r"(5\d\d|429) \S")

# Both are of a machine that is not overrun; where it was, as much longer.
DEAD_LIMIT_S: Final = 15.0
"""From a client's end until no healthy agent names it in DNS. Two real Consul agents need about 6 s in a pool of three."""
WAKE_LIMIT_S: Final = 5.0
"""From an acknowledged change until a watch of it has returned, where nothing is wrong."""


def reads_are_linearizable(history: History) -> list[str]:
    """Default and consistent reads, and what watches return, of each register.

    The log index at which a read saw its value orders everything. A call must not see an older index than one that ended before it
    began; a write that was acknowledged has an index beyond all that was seen before it began, even if nobody ever read its value.
    """
    problems = []
    for register, calls in _by_subject(history.of(Kind.READ, Kind.WATCH, Kind.WRITE)).items():
        seen = [call for call in history.of(Kind.READ, Kind.STALE_READ, Kind.WATCH) if call.subject == register and call.is_certain]
        positions, twice = _positions(seen)
        problems += twice
        problems += _from_the_future(register, seen, calls)
        problems += _goes_back([call for call in calls if call.is_certain], positions)
    return problems


def _positions(seen: Iterable[Call]) -> tuple[dict[str, int], list[str]]:
    """Where in the log each value stands."""
    positions: dict[str, int] = {"": 0}
    problems = []
    for call in seen:
        if positions.setdefault(call.value, call.position) != call.position:
            problems.append(f"{call.value!r} was written twice, at {positions[call.value]} and {call.position}")
    return positions, problems


def _from_the_future(register: str, seen: Iterable[Call], calls: Iterable[Call]) -> Iterator[str]:
    begun = {call.value: call.began_s for call in calls if call.kind is Kind.WRITE}
    for call in seen:
        if call.value and call.value not in begun:
            yield f"{register} had a value that nobody wrote: {call.value!r}"
        elif call.value and begun[call.value] > call.ended_s:
            yield f"{call} saw what was not written yet"


def _goes_back(calls: Sequence[Call], positions: Mapping[str, int]) -> Iterator[str]:
    floors = _Floors()
    by_end = sorted(calls, key=lambda call: call.ended_s)
    done = 0
    for call in sorted(calls, key=lambda call: call.began_s):
        while by_end[done].ended_s < call.began_s:
            floors.take(by_end[done], positions)
            done += 1
        lowest, why = floors.at_least(call)
        position = positions.get(call.value) if call.kind is Kind.WRITE else call.position
        if position is not None and position < lowest:
            yield f"{call} is at {position}, behind {why}"
        floors.began(call, lowest)


class _Floors:
    """The lowest index that the next call may see, as calls end."""

    def __init__(self) -> None:
        self._lowest = 0
        self._why: Call | None = None
        self._at_begin: dict[int, int] = {}

    def began(self, call: Call, lowest: int) -> None:
        self._at_begin[id(call)] = lowest

    def take(self, call: Call, positions: Mapping[str, int]) -> None:
        position = call.position
        if call.kind is Kind.WRITE:
            # One that nobody saw lies beyond all that had been seen when it began.
            position = positions.get(call.value, self._at_begin[id(call)])
        if position > self._lowest:
            self._lowest, self._why = position, call

    def at_least(self, call: Call) -> tuple[int, Call | None]:
        """A write comes after whatever it found."""
        return self._lowest + (call.kind is Kind.WRITE), self._why


def watches_wake_in_time(history: History) -> list[str]:
    """A watch that was parked when its register changed returns soon, where nothing was wrong at that time."""
    problems = []
    limit_s = WAKE_LIMIT_S * history.pressure
    writes = {
        register: sorted(call.ended_s for call in calls if call.is_certain)
        for register, calls in _by_subject(history.of(Kind.WRITE)).items()
    }
    for call in history.of(Kind.WATCH):
        times = writes.get(call.subject, [])
        first = bisect_left(times, call.began_s)
        for changed in times[first:]:
            if changed + limit_s >= call.ended_s:
                break
            if not _is_troubled(history.faults, changed, changed + limit_s):
                problems.append(f"{call} slept through the change at {changed:.2f}")
                break
    return problems


def dns_forgets_the_dead(history: History, addresses: Mapping[str, str]) -> list[str]:
    """``addresses``: those of the clients, by name. Who has been dead for long is not in an answer."""
    problems = []
    for fault in history.faults:
        if fault.name != "kill a client":
            continue
        (name,) = fault.agents
        for call in history.of(Kind.DNS):
            is_late = call.began_s > fault.began_s + DEAD_LIMIT_S * history.pressure and call.ended_s < fault.mended_s
            if is_late and addresses[name] in call.value.split():
                problems.append(f"{call} names {name}, dead since {fault.began_s:.2f}")
    return problems


def nothing_acknowledged_is_lost(history: History, catalogs: Mapping[str, set[str]]) -> list[str]:
    """``catalogs``: the names of all nodes, as each agent has them at the end."""
    kept = [call.subject for call in history.of(Kind.REGISTER) if call.is_certain]
    return [f"{agent} lacks {node}, which was acknowledged" for agent, nodes in catalogs.items() for node in kept if node not in nodes]


def errors_are_clear(history: History) -> list[str]:
    """What is answered in trouble is a server's error with a text, or when to come back (429), never that the caller is wrong."""
    problems = [call for call in history.calls if call.problem[:1].isdigit()]
    return [f"{call} is no clear error" for call in problems if not CLEAR.match(call.problem)]


def _is_troubled(faults: Sequence[Fault], from_s: float, to_s: float) -> bool:
    return any(fault.began_s <= to_s and fault.whole_s >= from_s for fault in faults)


def _by_subject(calls: Iterable[Call]) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        found[call.subject].append(call)
    return found
