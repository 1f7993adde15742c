"""A log store whose machine loses power at any moment: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec
import pytest

from rostra.consensus.check import StoreCheck
from rostra.consensus.lmdb_store import LOG_FILE, LmdbStore
from rostra.consensus.model import Write
from rostra.consensus.storage import MemoryStore
from rostra.errors import RostraError

from . import power_cut_writer
from .power_cut import Said, Step, cut, record, without_syncs

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
    pytest.mark.timeout(240),
]

SEED, WRITES, CUTS = 4, 60, 300


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    folder = tmp_path_factory.mktemp("written")
    command = [sys.executable, power_cut_writer.__file__, str(folder / "store"), str(SEED), str(WRITES)]
    return record(command, folder / "store" / LOG_FILE, folder / "trace")


def expected(writes: Sequence[Write]) -> MemoryStore:
    model = MemoryStore()
    model.perform(writes)
    return model


def is_as_promised(image: bytes, done: int, folder: Path, *, is_careless: bool = False) -> bool:
    """Whether a server that starts on it finds exactly the first ``done`` writes, or one more."""
    folder.mkdir(mode=0o700)
    (folder / LOG_FILE).write_bytes(image)
    writes = power_cut_writer.make_writes(SEED, WRITES)
    try:
        if is_careless:
            StoreCheck(folder).before_start()  # such a file can end whoever reads it
        store = LmdbStore(folder)
    except RostraError:
        return False
    try:
        found = store.recover()
        term = found.hard_state.term
        if term not in (done, done + 1):
            return False
        model = expected(writes[:term])
        wanted = msgspec.structs.replace(model.recover(), store_id=found.store_id)
        low, high = found.base_index + 1, found.last_index + 1
        return found == wanted and store.entries(low, high) == model.entries(low, high) and store.verify() == high - low
    except RostraError:
        return False
    finally:
        store.close()
        shutil.rmtree(folder)


def cuts(steps: Sequence[Step], rng: Random) -> tuple[list[Step], int]:
    """A history up to a random moment after the store was made, and how many writes were acknowledged in it."""
    made = next(place for place, step in enumerate(steps) if isinstance(step, Said))
    until = list(steps[: rng.randrange(made + 1, len(steps) + 1)])
    return until, max(step.number for step in until if isinstance(step, Said))


def test_after_a_cut_of_power_every_acknowledged_write_is_there_and_whole(steps: list[Step], tmp_path: Path) -> None:
    assert max(step.number for step in steps if isinstance(step, Said)) == WRITES
    rng = Random(1)
    for number in range(CUTS):
        until, done = cuts(steps, rng)
        assert is_as_promised(cut(until, rng), done, tmp_path / str(number)), f"cut {number}, after {len(until)} steps and {done} writes"


def test_a_store_that_did_not_wait_for_its_disk_is_found_out(steps: list[Step], tmp_path: Path) -> None:
    rng = Random(1)
    careless = without_syncs(steps)
    found_out = []
    for number in range(10):
        until, done = cuts(careless, rng)
        found_out.append(not is_as_promised(cut(until, rng), done, tmp_path / str(number), is_careless=True))
    assert any(found_out)
