"""The clockwork: what is kept, what runs out of time, what is taken back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from rostra.local import driver as driver_module
from rostra.local.checks.outcome import critical
from rostra.local.core import Definitions, LocalState
from rostra.local.driver import LocalDriver
from rostra.local.storage import LocalStore
from rostra.local.ttl_states import TtlStates
from rostra.model.catalog import Check, CheckDefinition, HealthStatus, Node, Service

from .test_push import Cluster

WEB = Service("web", "web", port=80)


def ttl(name: str, seconds: float = 100.0, service_id: str = "") -> Check:
    return Check("", name, name, service_id=service_id, definition=CheckDefinition(ttl_s=seconds))


def script(name: str) -> Check:
    return Check("", name, name, definition=CheckDefinition(args=("true",), interval_s=100.0))


class Life:
    """One run of the local role on ``folder``."""

    def __init__(self, folder: Path, wall: float, definitions: Definitions, *, with_scripts: bool) -> None:
        self.cluster = Cluster()
        self.driver = LocalDriver(
            LocalState(Node("n1", "127.0.0.1")),
            LocalStore(folder),
            TtlStates(folder / "ttl"),
            self.cluster,  # type: ignore[arg-type]
            self.cluster,  # type: ignore[arg-type]
            random.Random(1),
            wall=lambda: wall,
        )
        self.driver.load(definitions, with_scripts=with_scripts)

    @property
    def statuses(self) -> dict[str, str]:
        return {check_id: check.status.value for check_id, check in self.driver.state.checks().items()}

    @property
    def outputs(self) -> list[str]:
        """As the catalog has them."""
        return [check.output for check in self.cluster.catalog.checks.values()]


@contextlib.asynccontextmanager
async def living(
    folder: Path, *, wall: float = 1000.0, definitions: Definitions | None = None, with_scripts: bool = True
) -> AsyncIterator[Life]:
    life = Life(folder, wall, definitions or Definitions(), with_scripts=with_scripts)
    task = asyncio.create_task(life.driver.run())
    try:
        yield life
    finally:
        task.cancel()
        await asyncio.wait([task])
        life.driver.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60.0):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def test_registrations_maintenance_and_ttl_states_are_there_after_a_restart(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.driver.change(lambda state, now: state.register_service(WEB, [ttl("w")], now=now))
        await life.driver.change(lambda state, now: state.register_check(ttl("short", 10.0), now))
        await life.driver.change(lambda state, now: state.set_maintenance("web", enable=True, reason="moving", now=now))
        life.driver.update_ttl("w", HealthStatus.WARNING, "so so")
        life.driver.update_ttl("short", HealthStatus.PASSING, "well")
    async with living(tmp_path, wall=1050.0) as life:
        assert dict(life.driver.state.services()) == {"web": WEB}
        assert life.statuses == {"_service_maintenance:web": "critical", "short": "critical", "w": "warning"}
        assert life.driver.state.checks()["_service_maintenance:web"].notes == "moving"
        assert life.driver.state.checks()["w"].output == "so so"
        await life.driver.change(lambda state, now: state.deregister_service("web", now))
    assert list((tmp_path / "ttl").iterdir()) == []
    async with living(tmp_path) as life:
        assert (dict(life.driver.state.services()), life.statuses) == ({}, {"short": "critical"})


async def test_a_file_that_takes_over_a_service_takes_it_from_what_is_kept(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.driver.change(lambda state, now: state.register_service(WEB, now=now))
    async with living(tmp_path, definitions=Definitions([(Service("web", "web", port=99), [])])) as life:
        assert life.driver.state.services()["web"].port == 99
    async with living(tmp_path) as life:
        assert dict(life.driver.state.services()) == {}


async def test_scripts_that_were_registered_need_leave_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with living(tmp_path) as life:
        await life.driver.change(lambda state, now: state.register_check(script("s"), now))
    with caplog.at_level(logging.WARNING, "rostra.local"):
        async with living(tmp_path, with_scripts=False) as life:
            assert life.statuses == {}
    assert [record.__dict__["check"] for record in caplog.records if record.name.startswith("rostra")] == ["s"]


async def test_a_ttl_runs_out_by_itself_and_the_catalog_hears_of_it(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await life.driver.change(lambda state, now: state.register_check(ttl("short", 0.05), now))
        life.driver.update_ttl("short", HealthStatus.PASSING, "well")
        await until(lambda: "TTL expired (last output before timeout follows): well" in life.outputs)


async def test_a_service_that_is_critical_for_too_long_is_deregistered_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "REAP_S", 0.001)
    check = Check("", "c", "c", definition=CheckDefinition(ttl_s=1.0, deregister_critical_service_after_s=60.0))
    async with living(tmp_path) as life:
        await life.driver.change(lambda state, now: state.register_service(WEB, [check], now=now))
        await life.driver.change(lambda state, now: state.register_service(Service("db", "db"), [], now=now))
        life.driver.state.observe("c", HealthStatus.CRITICAL, "", asyncio.get_running_loop().time() - 30.0)
        await asyncio.sleep(0.02)
        assert list(life.driver.state.services()) == ["db", "web"]
        life.driver.state.observe("c", HealthStatus.PASSING, "", 0.0)
        life.driver.state.observe("c", HealthStatus.CRITICAL, "", asyncio.get_running_loop().time() - 61.0)
        await until(lambda: "web" not in life.driver.state.services())
    async with living(tmp_path) as life:
        assert list(life.driver.state.services()) == ["db"]


async def test_a_result_of_a_run_reaches_the_catalog(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        http = CheckDefinition(http="http://127.0.0.1:1/", interval_s=1000.0)
        await life.driver.change(lambda state, now: state.register_check(Check("", "h", "h", HealthStatus.PASSING, definition=http), now))
        life.driver._observed("h", critical("down"))
        await until(lambda: "down" in life.outputs)


async def test_the_log_has_each_turn_of_a_check_and_not_each_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rostra.local")
    turns = [
        (HealthStatus.PASSING, "fine\nand more"),
        (HealthStatus.PASSING, "still fine"),
        (HealthStatus.CRITICAL, ""),
        (HealthStatus.CRITICAL, "worse"),
    ]
    async with living(tmp_path) as life:
        await life.driver.change(lambda state, now: state.register_service(WEB, [ttl("w", service_id="web")], now=now))
        for status, output in turns:
            life.driver.update_ttl("w", status, output)
        await life.driver.change(lambda state, now: state.deregister_service("web", now))
    said = [record for record in caplog.records if record.message.startswith("check is now")]
    assert [(record.levelname, record.message, vars(record).get("output")) for record in said] == [
        ("INFO", "check is now passing", "fine"),
        ("WARNING", "check is now critical", None),
    ]
    assert {(vars(record)["check"], vars(record)["service"]) for record in said} == {("w", "web")}
