"""A cancellation that a ``TaskGroup`` dropped."""

from __future__ import annotations

import asyncio


def raise_if_cancelled() -> None:
    """Call it after errors of a ``TaskGroup`` were handled, in a loop that goes on.

    When a task is cancelled in the same turn in which a child of its group fails, the group raises the child's error only
    (Python 3.11 and 3.12), and a loop that handles it would run on for ever. The task still knows that it was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
