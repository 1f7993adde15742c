"""Programs that go on asking while something is broken: each call must end in its time, well or with a clear error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

import httpx

from .pressure import stretched

PAUSE_S = 0.01
OK, SERVER_ERROR = 200, 500


@dataclass(frozen=True, slots=True)
class Call:
    """One call and how long it may take. ``must_succeed``: nothing that happens here is an excuse for an error."""

    path: str
    limit_s: float
    must_succeed: bool = False


@dataclass
class Record:
    """What became of one call, made again and again."""

    done: int = 0
    slowest_s: float = 0.0
    problem: str = ""


class Callers:
    """A thread for each call, from entering to leaving; leaving fails when one broke its promise.

    A connection that is refused is an error in time, as any caller sees it; an answer that does not come in time is a hang.
    """

    def __init__(self, address: str, calls: Mapping[str, Call]) -> None:
        self.records = {name: Record() for name in calls}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(address, call, self.records[name]), name=name, daemon=True)
            for name, call in calls.items()
        ]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(stretched(15.0))
        if error is None:
            assert {name: record.problem for name, record in self.records.items() if record.problem} == {}
            assert all(record.done for record in self.records.values()), "every call was made"

    def _ask(self, address: str, call: Call, record: Record) -> None:
        with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
            while not self._stop.is_set() and not record.problem:
                self._once(lambda: client.get(call.path, timeout=stretched(call.limit_s)), call, record)
                self._stop.wait(PAUSE_S)

    def _once(self, ask: Callable[[], httpx.Response], call: Call, record: Record) -> None:
        started = time.monotonic()
        try:
            answer = ask()
        except httpx.TimeoutException:
            record.problem = f"{call.path}: no answer within {call.limit_s} s"
            return
        except httpx.TransportError as error:
            said = f"{type(error).__name__}: {error}"
        else:
            said = "" if answer.status_code == OK else f"{answer.status_code} {answer.text.strip()}"
            if said and (answer.status_code < SERVER_ERROR or not answer.text.strip()):
                record.problem = f"{call.path}: {said!r} is no clear error"
        record.done += 1
        record.slowest_s = max(record.slowest_s, time.monotonic() - started)
        if said and call.must_succeed:
            record.problem = f"{call.path}: {said}"
