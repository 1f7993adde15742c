"""Running the two directions of a stream as one piece of work.

Not a ``TaskGroup``: in Python 3.11 a group that is cancelled from outside just as one of its tasks fails reports the failure
and loses the cancellation, so that a loop that tries again after failures could not be stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(name: str, *work: Coroutine[Any, Any, None]) -> None:
    """Runs all of it until the first ends, cancels the rest, and raises what the first raised."""
    tasks = [asyncio.create_task(each, name=name) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()
