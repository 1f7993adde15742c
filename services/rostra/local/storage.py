"""What was registered with this node by its API, kept over restarts: one JSON file, replaced as a whole.

Format: ``{"version": 1, "services": [...], "checks": [...]}`` with the contract's messages in their JSON form.
Acknowledged means durable: the new file is synced before it takes the old one's name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from google.protobuf import json_format

from rostra.errors import RostraError
from rostra.model.catalog import Check, Service
from rostra.model.proto import check_from_proto, check_to_proto, service_from_proto, service_to_proto
from rostra.v1 import catalog_pb2

VERSION: Final = 1


class LocalStore:
    """The file ``registrations.json`` in ``folder``; no folder: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "registrations.json" if folder is not None else None

    def load(self) -> tuple[list[Service], list[Check]]:
        """What was kept. Raises ``RostraError`` naming the file when it cannot be read."""
        if self._path is None or not self._path.exists():
            return [], []
        try:
            document = json.loads(self._path.read_bytes())
            if not isinstance(document, dict):
                raise ValueError("not a JSON object")
            if document.get("version") != VERSION:
                raise RostraError(f"{self._path}: version {document.get('version')} is not one that this rostra reads")
            services = [service_from_proto(json_format.ParseDict(each, catalog_pb2.Service())) for each in document["services"]]
            checks = [check_from_proto(json_format.ParseDict(each, catalog_pb2.Check())) for each in document["checks"]]
        except (OSError, ValueError, KeyError, json_format.ParseError) as error:
            raise RostraError(f"{self._path}: cannot be read: {error}") from error
        return services, checks

    def save(self, services: Sequence[Service], checks: Sequence[Check]) -> None:
        """Durable when it returns; on failure the old file stays."""
        if self._path is None:
            return
        document = {
            "version": VERSION,
            "services": [json_format.MessageToDict(service_to_proto(service)) for service in services],
            "checks": [json_format.MessageToDict(check_to_proto(check)) for check in checks],
        }
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = self._path.with_suffix(".new")
        with open(scratch, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
