"""The local role: state, push, checks and AgentService as one object."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rostra.errors import BadRequest, RostraError
from rostra.local.core import Definitions, LocalState
from rostra.local.definitions import definitions_from
from rostra.local.driver import LocalDriver
from rostra.local.servicer import Agent, AgentServicer
from rostra.local.storage import LocalStore
from rostra.local.ttl_states import TtlStates
from rostra.model.catalog import Node, Service
from rostra.views.reader import Reader, Writer


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """``folder`` keeps registrations over restarts; None keeps nothing. ``services`` and ``checks`` come from configuration files, and
    may be scripts with either permission; those that are registered need ``enable_script_checks``."""

    folder: Path | None = None
    services: Sequence[Mapping[str, Any]] = ()
    checks: Sequence[Mapping[str, Any]] = ()
    enable_script_checks: bool = False
    enable_local_script_checks: bool = False
    check_update_interval_s: float = 300.0
    check_output_max_size: int = 4096
    discard_check_output: bool = False


class LocalRole:
    """This node's services and checks."""

    name = "local"

    def __init__(
        self, node: Node, own: Sequence[Service], settings: LocalSettings, reader: Reader, writer: Writer, agent: Agent, rng: random.Random
    ) -> None:
        self._settings = settings
        state = LocalState(node, own=own, output_max_size=settings.check_output_max_size, discard_output=settings.discard_check_output)
        self._driver = LocalDriver(
            state,
            LocalStore(settings.folder),
            TtlStates(settings.folder / "ttl" if settings.folder is not None else None),
            reader,
            writer,
            rng,
            check_update_interval_s=settings.check_update_interval_s,
        )
        self.servicer = AgentServicer(self._driver, agent, with_scripts=settings.enable_script_checks)

    @property
    def ready(self) -> bool:
        """Whether the catalog has been brought in line once."""
        return self._driver.synced

    async def start(self) -> None:
        """What the configuration defines, which has the last word, and what was registered before."""
        try:
            self._driver.load(self._definitions(self._settings), with_scripts=self._settings.enable_script_checks)
        except BadRequest as error:
            raise RostraError(f"services and checks of the configuration: {error}") from None

    async def reload(
        self, services: Sequence[Mapping[str, Any]], checks: Sequence[Mapping[str, Any]], *, discard_check_output: bool
    ) -> None:
        """Other definitions, all of them or none: raises ``RostraError`` and changes nothing where one cannot be taken."""
        settings = replace(self._settings, services=services, checks=checks, discard_check_output=discard_check_output)
        definitions = self._definitions(settings)
        await self._driver.change(lambda state, now: state.define(definitions, now))
        self._driver.state.discard_output = discard_check_output
        self._settings = settings

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._driver.run(), name="local: driver")

    async def stop(self) -> None:
        """What is being written to disk is written to its end."""
        self._driver.close()

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        services, checks = self._driver.state.count()
        numbers = {"services": services, "checks": checks, "checks_running": self._driver.running_checks}
        return {"agent": {name: str(number) for name, number in numbers.items()}}

    @staticmethod
    def _definitions(settings: LocalSettings) -> Definitions:
        with_scripts = settings.enable_script_checks or settings.enable_local_script_checks
        return definitions_from(settings.services, settings.checks, with_scripts=with_scripts)
