"""A servicer that has some of its service's methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from rostra.errors import Unsupported


class Partial:
    """The methods that a fake does not have answer Unsupported."""

    def __getattr__(self, name: str) -> Callable[[Any, Any], Awaitable[Any]]:
        if not name[0].isupper():
            raise AttributeError(name)

        async def missing(request: Any, context: Any) -> Any:
            raise Unsupported(name)

        return missing
