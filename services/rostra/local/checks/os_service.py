"""A service of the operating system: passing while systemd calls it active (systemctl(1), ``is-active``)."""

from __future__ import annotations

import asyncio
from typing import Final

from rostra.local.checks.outcome import DEFAULT_TIMEOUT_S, Outcome, Tail, critical, passing
from rostra.local.checks.script import Command
from rostra.model.catalog import CheckDefinition

COMMAND: Final = ("systemctl", "is-active", "--")
OUTPUT_MAX: Final = 512


class OsServiceCheck:
    """Asks systemd. This runs no program of the check's choosing, so it does not need scripts to be enabled."""

    def __init__(self, definition: CheckDefinition) -> None:
        self._name = definition.os_service
        self._command = Command((*COMMAND, self._name))
        self._timeout_s = definition.timeout_s or DEFAULT_TIMEOUT_S

    async def run(self) -> Outcome:
        tail = Tail(OUTPUT_MAX)
        try:
            async with asyncio.timeout(self._timeout_s):
                code = await self._command.run(tail)
        except TimeoutError:
            return critical(f'OS service "{self._name}": systemctl did not answer in time')
        except OSError:
            return critical(f'OS service "{self._name}": there is no systemctl to ask')
        state = tail.text.strip()
        if code == 0:
            return passing(f'OS service "{self._name}" is {state or "active"}')
        return critical(f'OS service "{self._name}" is not active: {state or f"systemctl ended with {code}"}')
