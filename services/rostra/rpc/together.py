"""Tasks that make up one stream, and end together.

Not a ``TaskGroup``: when a task is cancelled in the same turn in which a child of its group fails, the group raises the
child's error only (seen with Python 3.11), so a loop that handles the error and goes on would never stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from rostra.errors import RostraError


async def run_together(**works: Coroutine[Any, Any, None]) -> None:
    """Runs these, each in a task of its keyword's name, until one ends; then none is left. Raises what it ended with, and before
    all else what is not a ``RostraError``. A cancellation from outside is never lost."""
    tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    errors.sort(key=lambda error: isinstance(error, RostraError))
    if errors:
        raise errors[0]
