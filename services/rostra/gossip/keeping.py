"""When a pool's files are read and written, and what happens when that fails. What is in them is ``storage``'s."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from rostra.errors import ConfigError
from rostra.gossip.storage import KnownPeers, PoolStorage

_log = logging.getLogger("rostra.gossip")

_PEERS_EVERY_S: Final = 5.0


class Keeping:
    """The files of one pool; without ``storage`` nothing is kept. ``peers`` tells what is known when it is to be written."""

    def __init__(self, pool: str, storage: PoolStorage | None, peers: Callable[[], KnownPeers]) -> None:
        self._pool = pool
        self._storage = storage
        self._peers = peers
        self._peers_changed = asyncio.Event()
        self._saving = asyncio.Lock()  # one file, and two who write it: the task that keeps it, and leaving

    def load_keys(self, given: Sequence[bytes]) -> tuple[bytes, ...]:
        """The keyring that was kept, or else the keys given, which are kept from now on. Raises ``ConfigError`` when it cannot be read or
        written."""
        if self._storage is None:
            return tuple(given)
        kept = self._storage.load_keys()
        if given and kept and given[0] not in kept:
            _log.warning("the key given is not in the keyring that was kept: using the keyring", extra={"pool": self._pool})
        if given and not kept:
            try:
                self._storage.save_keys(given)
            except OSError as error:
                raise ConfigError([f"the keyring of the {self._pool.upper()} pool cannot be written: {error}"]) from None
        return kept or tuple(given)

    def load_peers(self) -> KnownPeers:
        return self._storage.load_peers() if self._storage is not None else KnownPeers()

    def save_keys(self, keys: Sequence[bytes]) -> None:
        """Rare and small, and on disk before the answer goes out that says they are installed."""
        try:
            if self._storage is not None:
                self._storage.save_keys(keys)
        except OSError as error:
            where = {"pool": self._pool, "error": error.strerror}
            _log.error("the keyring could not be written: after a restart this member would use the old one", extra=where)

    def on_change(self) -> None:
        """What is known of peers has changed."""
        self._peers_changed.set()

    async def keep_peers(self) -> None:
        """For ever: write down changes, some seconds after they happened at the latest."""
        while True:
            await self._peers_changed.wait()
            self._peers_changed.clear()
            await self.save_peers()
            await asyncio.sleep(_PEERS_EVERY_S)

    async def save_peers(self) -> None:
        async with self._saving:
            await asyncio.to_thread(self._write, self._peers())

    def save_peers_at_the_end(self) -> None:
        """When there is no time for a thread."""
        self._write(self._peers())

    def _write(self, peers: KnownPeers) -> None:
        """A full disk is no reason to leave the pool."""
        try:
            if self._storage is not None:
                self._storage.save_peers(peers)
        except OSError as error:
            _log.warning("known peers could not be written", extra={"pool": self._pool, "error": error.strerror})
