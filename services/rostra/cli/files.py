"""Files that a command makes: never over one that is there, and a key only for its owner."""

from __future__ import annotations

import os

from rostra.errors import Conflict, Unavailable

FOR_ALL, FOR_OWNER = 0o644, 0o600


def write_new(path: str, data: bytes, mode: int) -> None:
    """Raises ``Conflict`` where there is a file already, ``Unavailable`` where none can be made."""
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
    except FileExistsError:
        raise Conflict(f"{path} already exists.") from None
    except OSError as error:
        raise Unavailable(f"Error writing {path}: {(error.strerror or str(error)).lower()}") from None
