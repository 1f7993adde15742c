"""Group commit: one named thread puts everything that is waiting on disk with one fsync, then says how far it came.

The queue is bounded by the core, which takes no more entries once ``Options.max_unstable_bytes`` wait here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from rostra.consensus.model import Write
from rostra.consensus.storage import StorageFull, Store

FULL_RETRY_S = 1.0
"""How often a full disk is asked again."""


class StorageThread:
    """Performs writes in order. The callbacks run in this thread: they hand over to the loop and do nothing else.

    ``on_completed`` gets the number of the last write on disk, and how many seconds that took."""

    def __init__(
        self,
        store: Store,
        *,
        on_completed: Callable[[int, float], None],
        on_full: Callable[[StorageFull | None], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._on_completed = on_completed
        self._on_full = on_full
        self._on_failed = on_failed
        self._queue: SimpleQueue[Write | None] = SimpleQueue()
        self.sync_s = 0.0
        """How long a write takes at present, smoothed. Read from the loop."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consensus-storage", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def submit(self, write: Write) -> None:
        """Hands over a write; never blocks."""
        self._queue.put(write)

    def stop(self, timeout_s: float) -> bool:
        """Lets what was handed over reach the disk, then ends the thread. False if the disk takes longer than that."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (writes := self._take_all()) is not None:
                if writes and not self._perform(writes):
                    return
        except BaseException as error:  # whatever it is, the process must learn of it and end
            self._on_failed(error)

    def _take_all(self) -> list[Write] | None:
        """Everything that waits, at least one; None at the end."""
        first = self._queue.get()
        if first is None:
            return None
        writes = [first]
        try:
            while (write := self._queue.get_nowait()) is not None:
                writes.append(write)
            self._queue.put(None)
        except Empty:
            pass
        return writes

    def _perform(self, writes: Sequence[Write]) -> bool:
        full = False
        while True:
            try:
                began = time.perf_counter()
                self._store.perform(writes)
                took_s = time.perf_counter() - began
                self.sync_s += (took_s - self.sync_s) / 8
            except StorageFull as error:
                if not full:
                    full = True
                    self._on_full(error)
                if self._stopping.wait(FULL_RETRY_S):
                    return False
                continue
            if full:
                self._on_full(None)
            self._on_completed(writes[-1].number, took_s)
            return True
