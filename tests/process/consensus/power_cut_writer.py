"""The process whose writes are cut: performs ``WRITES`` on a store in the folder named, and says after each that it is done."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random

from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.model import Entry, HardState, SnapshotMeta, Write


def make_writes(seed: int, count: int) -> list[Write]:
    """A leader's and a follower's life: entries, conflicts, snapshots; the term of the hard state numbers the writes."""
    rng = Random(seed)
    writes: list[Write] = []
    base = last = 0
    for number in range(1, count + 1):
        first = rng.randint(max(base + 1, last - 3), last + 1) if rng.random() < 0.3 else last + 1
        entries = [Entry(index, number, 2, number, rng.randbytes(rng.choice([10, 300, 5000]))) for index in range(first, first + 4)]
        last = first + 3
        snapshot, compact_to = None, 0
        if number % 7 == 0:
            compact_to = base = max(base, first - 1)
            snapshot = SnapshotMeta(f"s{number}", "cluster", base, number - 1, 0, b"", 0)
        state = HardState(number, None, 0, 1.0, "cluster")
        writes.append(Write(number, state, entries=entries, snapshot=snapshot, compact_to=compact_to))
    return writes


def main() -> None:
    folder, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    store = LmdbStore(folder)
    store.recover()
    os.write(1, b"done 0\n")
    for write in make_writes(seed, count):
        store.perform([write])
        os.write(1, b"done %d\n" % write.number)
    store.close()


if __name__ == "__main__":
    main()
