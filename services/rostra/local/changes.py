"""Changes of what is registered, durable before they are in force: a change that cannot be written down has never been.

All that wait go to disk together, with one fsync, in a thread of their own. They are rehearsed on a copy of the state first: so one
that is refused changes nothing, and what goes to disk is known before the state has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from rostra.errors import Busy
from rostra.local.core import LocalState
from rostra.local.storage import LocalStore, Record

Change = Callable[[LocalState, float], None]
"""What is to be done, and when. It is done twice, to the copy and to the state: it may depend on nothing else."""

MAX_WAITING: Final = 1024


class Changes:
    """The only way to change what is registered in ``state``. ``applied`` is called after each lot."""

    def __init__(self, state: LocalState, store: LocalStore, applied: Callable[[], None]) -> None:
        self._state = state
        self._store = store
        self._applied = applied
        self._kept: dict[str, Record] = {}
        self._waiting: list[tuple[Change, asyncio.Future[None]]] = []
        self._news = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local store")

    def open(self, make: Callable[[LocalState, dict[str, Record], float], None]) -> None:
        """Starts from what was kept: ``make`` takes it into the state, as far as it is wanted."""
        self._kept = self._store.open()
        make(self._state, dict(self._kept), asyncio.get_running_loop().time())
        difference = self._difference([*self._kept, *self._state.registered()], self._state)
        if difference:
            self._store.write(difference)
        self._note(difference)
        self._applied()

    async def make(self, change: Change) -> None:
        """Done and durable when it returns. Raises what ``change`` raises, ``Busy``, or ``RostraError`` when it cannot be kept."""
        if not self._store.keeps:
            change(self._state, asyncio.get_running_loop().time())
            self._applied()
            return
        if len(self._waiting) >= MAX_WAITING:
            raise Busy(f"{MAX_WAITING} changes of this node wait for the disk")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, done))
        self._news.set()
        await done

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            lot, self._waiting = self._waiting, []
            await self._make_all([(change, done) for change, done in lot if not done.cancelled()])

    def close(self) -> None:
        """What waits is refused by the end of the process; what is being written ends first."""
        self._thread.shutdown()
        self._store.close()

    async def _make_all(self, lot: list[tuple[Change, asyncio.Future[None]]]) -> None:
        loop = asyncio.get_running_loop()
        rehearsal = self._state.copy()
        accepted = []
        for change, done in lot:
            try:
                change(rehearsal, loop.time())
            except Exception as error:
                _settle(done, error)
            else:
                accepted.append((change, done))
        difference = self._difference(rehearsal.take_changes(), rehearsal)
        if difference:
            try:
                await loop.run_in_executor(self._thread, self._store.write, difference)
            except Exception as error:
                for _, done in accepted:
                    _settle(done, error)
                return
        for change, done in accepted:
            change(self._state, loop.time())
            _settle(done, None)
        self._note(difference)
        self._applied()

    def _difference(self, keys: Iterable[str], state: LocalState) -> dict[str, Record | None]:
        """What the disk lacks of these keys."""
        wanted = {key: state.registration(key) for key in keys}
        return {key: record for key, record in wanted.items() if self._kept.get(key) != record}

    def _note(self, difference: Mapping[str, Record | None]) -> None:
        """The disk has it."""
        for key, record in difference.items():
            if record is None:
                self._kept.pop(key, None)
            else:
                self._kept[key] = record


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return  # whoever asked has gone
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
