"""A cluster under load while everything that can go wrong does: what was acknowledged stays, what is read is true, and it heals.

About a minute, with a fault of each sort, on three servers. A command of its own for a night: ``ROSTRA_FAULTS_S=3600 pytest
tests/process/faults`` makes it last so many seconds for each seed, with every kind of fault, ``ROSTRA_FAULTS_SEEDS=1,2,3`` repeats the
choices of those runs, ``ROSTRA_FAULTS_SERVERS=3,5`` has so many servers, in turn, ``ROSTRA_FAULTS_REPORT=FOLDER`` keeps a page about each.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from ..harness.lan import Lan, reason_against
from ..harness.pressure import stretched
from ..harness.waiting import eventually
from . import checks
from .fleet import Fleet
from .history import History
from .load import Load
from .nemesis import IN_BRIEF, Nemesis
from .report import render

SECONDS = float(os.environ.get("ROSTRA_FAULTS_S", "0"))
SEEDS = [int(seed) for seed in os.environ.get("ROSTRA_FAULTS_SEEDS", "1").split(",")]
SERVERS = [int(count) for count in os.environ.get("ROSTRA_FAULTS_SERVERS", "3").split(",")]
REPORTS = os.environ.get("ROSTRA_FAULTS_REPORT", "")
RUNS = [(seed, SERVERS[turn % len(SERVERS)]) for turn, seed in enumerate(SEEDS)]
CLIENTS = 2
SEEN_LIMIT_S = 20.0

pytestmark = [pytest.mark.process, pytest.mark.timeout(900 + 3 * SECONDS)]


@pytest.fixture
def fleet(tmp_path: Path, servers: int) -> Iterator[Fleet]:
    if reason := reason_against():
        pytest.skip(reason)
    names = [f"s{number}" for number in range(1, servers + 1)] + [f"c{number}" for number in range(1, CLIENTS + 1)]
    with Lan(names).running() as lan, Fleet(lan, tmp_path).running() as fleet:
        yield fleet


@pytest.mark.parametrize(("seed", "servers"), RUNS)
def test_nothing_is_lost_and_nothing_is_made_up(fleet: Fleet, seed: int, servers: int) -> None:
    history = History()
    title = f"seed {seed}, {servers} servers, {CLIENTS} clients"
    try:
        catalogs = asyncio.run(_run(fleet, history, seed))
    except BaseException as error:
        error.add_note("\n".join(f"{fault}" for fault in history.faults[-5:]))
        _keep(f"{title}, which failed", history, {})
        raise
    addresses = {client.name: client.host.address for client in fleet.clients}
    verdicts = {
        "nothing acknowledged is lost": checks.nothing_acknowledged_is_lost(history, catalogs),
        "reads are linearizable": checks.reads_are_linearizable(history),
        "watches wake in time": checks.watches_wake_in_time(history),
        "DNS forgets the dead": checks.dns_forgets_the_dead(history, addresses),
        "errors are clear": checks.errors_are_clear(history),
    }
    _keep(title, history, verdicts)
    print(f"{title}: {len(history.calls)} calls, {len(history.faults)} faults")
    assert {name: problems[:5] for name, problems in verdicts.items() if problems} == {}
    assert len(history.calls) > 5 * (history.now_s() / history.pressure), "the load was not worth the name"


async def _run(fleet: Fleet, history: History, seed: int) -> Mapping[str, set[str]]:
    """Returns the names of all nodes, as each agent has them at the end."""
    rng = random.Random(seed)
    async with Load(fleet, history, random.Random(rng.random())).running() as load:
        if SECONDS:
            await Nemesis(fleet, history, rng).run(load, SECONDS)
        else:
            await Nemesis(fleet, history, rng, haste=2.5).run(load, 0.0, IN_BRIEF)
        await load.write_last()
        async with asyncio.timeout(stretched(SEEN_LIMIT_S)):
            await load.until_watched()
    history.note_pressure()
    return {agent.name: {node["Node"] for node in _nodes(agent.name, fleet)} for agent in fleet.all}


def _nodes(name: str, fleet: Fleet) -> Sequence[Mapping[str, str]]:
    answer = eventually(lambda: fleet[name].get("/v1/catalog/nodes"), 20.0)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def _keep(title: str, history: History, verdicts: Mapping[str, Sequence[str]]) -> None:
    if REPORTS:
        folder = Path(REPORTS)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{title.split(',')[0].replace(' ', '-')}.html").write_text(render(title, history, verdicts))
