"""Files that are there after a power cut: content and name are two things to a disk, and each is synced on its own (fsync(2))."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path


def make_folder(path: Path) -> None:
    """Makes the folder, and those above it that are missing, for this user only. Its entry is on disk when this returns."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in reversed(missing):
        with contextlib.suppress(PermissionError):  # one may make a folder where one may not look
            sync_folder(each.parent)


def sync_folder(path: Path) -> None:
    """What was made, renamed or removed in it stays so, wherever the file system can promise that."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """The file has its old content or this, whatever happens meanwhile; this, and for its owner only, when it returns."""
    scratch = path.with_name(f"{path.name}.new")
    with open(scratch, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
    sync_folder(path.parent)
