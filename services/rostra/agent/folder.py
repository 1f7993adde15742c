"""The data folder: 0700, one process a role, and the node ID that is born in it."""

from __future__ import annotations

import fcntl
import os
import pwd
import uuid
from collections.abc import Sequence
from pathlib import Path

from rostra.durable import make_folder, replace_file
from rostra.errors import RostraError


class DataFolder:
    """Where a process keeps things. Each role's part is locked by the process that runs it, until it ends."""

    def __init__(self, path: Path, roles: Sequence[str]) -> None:
        self.path = path
        self._locks: list[int] = []
        try:
            make_folder(path)
            path.chmod(0o700)
        except FileExistsError:
            raise RostraError(f"data folder {path}: it is a file, not a folder") from None
        except PermissionError as error:
            raise RostraError(f"data folder {path}: {error.strerror}: it must belong to the user that rostra runs as ({_user()})") from None
        except OSError as error:
            raise RostraError(f"data folder {path}: {error.strerror}") from None
        for role in roles:
            self._lock(role)

    def node_id(self) -> str:
        """The UUID of this node, made at the first start."""
        file = self.path / "node-id"
        if file.exists():
            text = file.read_text().strip()
            try:
                return str(uuid.UUID(text))
            except ValueError:
                raise RostraError(f"{file}: {text!r} is not a UUID; restore it, or remove the file to become a new node") from None
        node_id = str(uuid.uuid4())
        self.keep_node_id(node_id)
        return node_id

    def keep_node_id(self, node_id: str) -> None:
        """Writes it down, durable when this returns."""
        replace_file(self.path / "node-id", f"{node_id}\n".encode())

    def socket(self, role: str) -> str:
        """Address of the role's door in this folder."""
        return f"unix:{self.path / role}.sock"

    def release(self) -> None:
        """For tests; the system releases the locks when the process ends."""
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def _lock(self, role: str) -> None:
        file = self.path / f"{role}.lock"
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(lock, 32, 0).decode(errors="replace").strip()
            os.close(lock)
            raise RostraError(
                f"data folder {self.path}: another process{f' ({owner})' if owner else ''} runs the role {role} on it"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._locks.append(lock)


def _user() -> str:
    """Whom this process runs as: a name, or the number where it has none, as in many containers."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
