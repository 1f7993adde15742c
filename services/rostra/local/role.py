"""The local role: state, push, checks and AgentService as one object."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rostra.local.core import LocalState
from rostra.local.definitions import check_from_definition, service_from_definition
from rostra.local.driver import LocalDriver
from rostra.local.servicer import Agent, AgentServicer
from rostra.local.storage import LocalStore
from rostra.model.catalog import Node, Service
from rostra.views.reader import Reader, Writer


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """``folder`` keeps registrations over restarts; None keeps nothing. ``services`` and ``checks`` come from configuration files."""

    folder: Path | None = None
    services: Sequence[Mapping[str, Any]] = ()
    checks: Sequence[Mapping[str, Any]] = ()
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
        state = LocalState(
            node,
            own=own,
            check_update_interval_s=settings.check_update_interval_s,
            output_max_size=settings.check_output_max_size,
            discard_output=settings.discard_check_output,
        )
        self._driver = LocalDriver(state, LocalStore(settings.folder), reader, writer, rng)
        self.servicer = AgentServicer(self._driver, agent)

    @property
    def ready(self) -> bool:
        """Whether the catalog has been brought in line once."""
        return self._driver.synced

    async def start(self) -> None:
        """What was registered before, then what the configuration defines, which has the last word."""
        self._driver.load()
        for definition in self._settings.services:
            self._driver.define_service(*service_from_definition(definition))
        for definition in self._settings.checks:
            self._driver.define_check(check_from_definition(definition))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._driver.run(), name="local: push")

    async def stop(self) -> None:
        """Nothing is held open."""

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        state = self._driver.state
        return {"agent": {"checks": str(len(state.checks())), "services": str(len(state.services()))}}
