"""``rostra agent`` and ``rostra ROLE``: configuration in, a running process, an exit code out.

Exit codes: 0 stopped or left in good order; 1 anything else, with one line on standard error that names the culprit.
"""

from __future__ import annotations

import os

# Before grpc is imported: its C core would print to standard error what we say ourselves, in one line.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import asyncio
import logging
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import uvloop

from rostra.agent.banner import banner
from rostra.agent.folder import DataFolder
from rostra.agent.process import EXIT_FAILED, EXIT_OK, Process, ignore_signals, on_signals
from rostra.agent.supervision import Manager, SupervisionPart
from rostra.agent.workers import end_with_parent
from rostra.clients.gossip import GossipStatus
from rostra.config import Loaded, Settings, load
from rostra.config.effective import as_json
from rostra.config.flags import asks_for_help
from rostra.config.reload import changes
from rostra.errors import ConfigError, RostraError
from rostra.model.identity import Identity
from rostra.telemetry import logs

log = logging.getLogger("rostra.agent")

IDENTITY_RETRY_S: Final = 0.25
OF_DNS: Final = ("dns_config.", "recursors")
OF_GATEWAY: Final = ("limits.http_", "http_config.")
OF_LOCAL: Final = frozenset({"service", "services", "check", "checks", "discard_check_output"})
"""Keys that the local role takes over while it runs."""


def main(argv: Sequence[str], role: str | None) -> int:
    """Runs until a signal, ``rostra leave`` or a failure."""
    if asks_for_help(argv):
        from rostra.config.help import help_text

        print(help_text(role))
        return EXIT_OK
    os.umask(0o077)  # what an agent writes is for its owner only
    try:
        end_with_parent()
        loaded = load(argv, os.environ, role=role)
        logs.configure(
            loaded.settings.logs.level,
            as_json=loaded.settings.logs.json,
            file=loaded.settings.logs.file,
            rotate_bytes=loaded.settings.logs.rotate_bytes,
            rotate_duration_s=loaded.settings.logs.rotate_duration_s,
            rotate_max_files=loaded.settings.logs.rotate_max_files,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_Agent(loaded, argv, role).run())
    except ConfigError as error:
        for problem in error.problems:
            print(f"rostra: {problem}", file=sys.stderr)
    except RostraError as error:
        print(f"rostra: {error}", file=sys.stderr)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"rostra: {error.filename}: {error.strerror}", file=sys.stderr)  # mostly: it belongs to another user
    return EXIT_FAILED


class GossipIdentity(Protocol):
    """Who says which node this is."""

    async def get_status(self, timeout_s: float = ...) -> GossipStatus: ...


class Leaver(Protocol):
    """What a signal may ask for."""

    async def leave(self) -> None: ...

    async def stop(self) -> None: ...


class _Agent:
    """One process from its configuration to its end."""

    def __init__(self, loaded: Loaded, argv: Sequence[str], role: str | None) -> None:
        self._loaded = loaded
        self._argv = argv
        self._role = role
        self._tasks: set[asyncio.Future[None]] = set()
        self._manager = Manager.from_environment(os.environ)
        self._reload_local: Callable[[Settings], Awaitable[None]] | None = None
        self._prepare_dns: Callable[[Settings], Callable[[], None]] | None = None
        self._reload_gateway: Callable[[Settings], None] | None = None
        self._reloaded: Callable[[], None] | None = None
        self._prepare_certificates: Callable[[], Callable[[], Sequence[str]]] = lambda: tuple
        self._reloading = asyncio.Lock()

    async def run(self) -> int:
        from rostra.agent.assembly import Assembly
        from rostra.agent.composition import compose
        from rostra.agent.control import Control
        from rostra.agent.wiring import Wiring
        from rostra.clients.consensus import ConsensusClient
        from rostra.clients.gossip import GossipClient
        from rostra.tls.certificates import ProcessCertificates

        settings = self._loaded.settings
        certificates = ProcessCertificates(settings.tls)
        folder = DataFolder(Path(settings.server.data_dir), settings.roles.run) if settings.server.data_dir else None
        wiring = Wiring(settings, certificates)
        gossip = GossipClient(wiring.channel("gossip"))
        asks = not wiring.is_here("gossip") and wiring.addresses("gossip")
        identity = await self._ask_identity(gossip) if asks else self._decide_identity(folder)
        control = Control(
            identity,
            gossip,
            config_json=lambda: as_json(self._loaded),
            reread=self._reread,
            end=lambda: process.end(),
            drain_s=settings.server.leave_drain_time_s,
            consensus=ConsensusClient(wiring.channel("consensus")) if identity.server and wiring.reaches("consensus") else None,
        )
        parts, doors = compose(Assembly(settings, identity, wiring, control, folder))
        if self._manager.listens:
            status = f"{identity.name} in {identity.datacenter}: {', '.join(settings.roles.run)}"
            parts = [*parts, SupervisionPart(self._manager, parts, status)]
        self._reload_local = control.reload_local
        self._prepare_dns = control.prepare_dns
        self._reload_gateway = control.reload_gateway
        self._reloaded = control.reloaded
        self._prepare_certificates = certificates.prepare
        process = Process(parts, doors)
        self._listen_to_signals(control)
        if self._role is None:
            print(banner(settings, identity), flush=True)
        for warning in self._loaded.warnings:
            log.warning("%s", warning)
        certificates.warn_of_expiry()
        self._write_pid_file()
        try:
            return await process.run()
        finally:
            await wiring.close()
            self._remove_pid_file()
            ignore_signals()
            log.info("stopped")

    def _decide_identity(self, folder: DataFolder | None) -> Identity:
        """The process with gossip decides who the node is; so does one on an edge that has no gossip to ask."""
        settings = self._loaded.settings
        node_id = settings.identity.node_id
        if folder is None:
            node_id = node_id or str(uuid.uuid4())
        elif node_id:
            folder.keep_node_id(node_id)
        else:
            node_id = folder.node_id()
        return Identity(
            name=settings.identity.node_name or socket.gethostname(),
            id=node_id,
            datacenter=settings.identity.datacenter or "dc1",
            address=settings.addresses.advertise,
            wan_address=settings.addresses.advertise_wan,
            server=settings.server.enabled,
        )

    async def _ask_identity(self, gossip: GossipIdentity) -> Identity:
        """The other roles of the node ask, until they are told; a node that they were not configured to be is refused."""
        told = False
        while True:
            try:
                identity = (await gossip.get_status(1.0)).identity
                break
            except RostraError as error:
                if not told:
                    log.info("waiting for gossip", extra={"at": ", ".join(self._loaded.settings.roles.gossip), "reason": error})
                    told = True
                await asyncio.sleep(IDENTITY_RETRY_S)
        configured = self._loaded.settings.identity
        for key, mine, theirs in (
            ("node_name", configured.node_name, identity.name),
            ("node_id", configured.node_id, identity.id),
            ("datacenter", configured.datacenter, identity.datacenter),
        ):
            if key in self._loaded.given and mine.lower() != theirs.lower():
                raise RostraError(f"{key} is configured as {mine!r}, but gossip says this node's is {theirs!r}")
        return identity

    def _listen_to_signals(self, control: Leaver) -> None:
        join = self._loaded.settings.join

        is_agent = self._role is None

        async def stop() -> None:
            self._manager.stopping()
            await control.stop()

        async def leave() -> None:
            self._manager.stopping()
            await control.leave()

        interrupt = leave if is_agent and not join.skip_leave_on_interrupt else stop
        terminate = leave if is_agent and join.leave_on_terminate else stop
        on_signals(interrupt, terminate, lambda: self._tasks.add(asyncio.ensure_future(self._hang_up())), self._tasks)

    async def _hang_up(self) -> None:
        try:
            await self._reread()
        except RostraError as error:
            log.error("configuration not reloaded", extra={"reason": error})

    async def _reread(self) -> tuple[Sequence[str], Sequence[str]]:
        """Reads the configuration again and applies what can be applied while running; the service manager is told. Who comes meanwhile
        waits for the turn: what two reloads find may differ."""
        async with self._reloading:
            self._manager.reloading()
            try:
                applied, needs_restart = await self._apply_again()
            finally:
                self._manager.reloaded()
        log.info("configuration reloaded", extra={"applied": ", ".join(applied), "needs_restart": ", ".join(needs_restart)})
        return applied, needs_restart

    async def _apply_again(self) -> tuple[Sequence[str], Sequence[str]]:
        """All of it or nothing: what may refuse comes first, the local role last of that, since what it has taken it keeps on disk."""
        # Thousands of definitions take seconds to read, in which the loop has its turns.
        new = await asyncio.to_thread(load, self._argv, dict(os.environ), role=self._role)
        found = changes(self._loaded, new)
        of_local = [path for path in found.reloadable if path in OF_LOCAL and self._reload_local is not None]
        of_dns = [path for path in found.reloadable if path.startswith(OF_DNS) and self._prepare_dns is not None]
        of_gateway = [path for path in found.reloadable if path.startswith(OF_GATEWAY) and self._reload_gateway is not None]
        applied = [path for path in found.reloadable if path == "log_level" or path in (*of_local, *of_dns, *of_gateway)]
        take_certificates = self._prepare_certificates()
        take_dns = self._prepare_dns(new.settings) if self._prepare_dns is not None and of_dns else None
        if self._reload_local is not None:  # even where the files are the same: what was changed by API is theirs again
            await self._reload_local(new.settings)
        if take_dns is not None:
            take_dns()
        if self._reload_gateway is not None and of_gateway:
            self._reload_gateway(new.settings)
        if "log_level" in applied:
            logging.getLogger("rostra").setLevel(logs.LEVELS[new.settings.logs.level])
            for handler in logging.getLogger("rostra").handlers:
                handler.setLevel(logs.LEVELS[new.settings.logs.level])
        self._loaded = replace(
            self._loaded,
            values={**self._loaded.values, **{path: new.values[path] for path in applied}},
            origins={**self._loaded.origins, **{path: new.origins[path] for path in applied if path in new.origins}},
        )
        if self._reloaded is not None and of_dns:
            self._reloaded()
        applied += take_certificates()
        return applied, [path for path in (*found.reloadable, *found.refused) if path not in applied]

    def _write_pid_file(self) -> None:
        path = self._loaded.settings.logs.pid_file
        if path:
            try:
                Path(path).write_text(f"{os.getpid()}\n")
            except OSError as error:
                raise RostraError(f"pid_file {path}: {error.strerror}") from None

    def _remove_pid_file(self) -> None:
        if self._loaded.settings.logs.pid_file:
            Path(self._loaded.settings.logs.pid_file).unlink(missing_ok=True)
