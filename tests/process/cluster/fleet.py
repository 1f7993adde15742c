"""Three servers and their clients, each node whole in one process or with a process for each role, on a network that can be cut.

All use the same ports on addresses of their own. Where the network is to be cut, a node is on a host of its own, or advertises another
address, at which a relay stands.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..harness.deployment import FAST, HOST, ROLES, Deployment
from ..harness.lan import Lan
from ..harness.ports import Ports
from ..harness.waiting import eventually
from .relay import Network

AGENTS, ROLES_APART = "agents", "a process for each role"
FORMS: Final = (AGENTS, ROLES_APART)

QUICK: Final = (
    *FAST,
    '-hcl=performance { leave_drain_time = "1s" }',
    '-hcl=autopilot { server_stabilization_time = "1s" }',
    "-hcl=gossip_lan { suspicion_mult = 3 }",
    '-hcl=gossip_wan { probe_interval = "1s" probe_timeout = "500ms" suspicion_mult = 4 }',
)
START_LIMIT_S: Final = 60.0
LEAVE_LIMIT_S: Final = 40.0


class Node(Deployment):
    """A server or a client of the fleet. ``bound`` is the address it binds, ``address`` the one it advertises."""

    def __init__(self, folder: Path, recipe: Recipe, commands: Mapping[str, Sequence[str]]) -> None:
        name, bound, address, ports = recipe.name, recipe.bound, recipe.address, recipe.ports
        super().__init__(folder, name, ports, commands, folder / "data", address, recipe.client)
        self.is_server = recipe.server
        self.bound = bound
        self.server_address = f"{address}:{ports.server}"

    @property
    def is_up(self) -> bool:
        return any(process.is_running for process in self.running.values())

    def hang(self) -> None:
        """Every process stands still: no connection breaks, nothing is answered. Until ``go_on``."""
        for process in self.running.values():
            process.send(signal.SIGSTOP)

    def go_on(self) -> None:
        for process in self.running.values():
            process.send(signal.SIGCONT)

    def leave(self, within_s: float = LEAVE_LIMIT_S) -> None:
        """Ctrl-C on an agent; where the roles are apart, ``rostra leave``, and then Ctrl-C on each that is left."""
        if list(self.running) == ["agent"]:
            self.only.send(signal.SIGINT)
            assert self.only.wait(within_s) == 0, self.output
            return
        self.cli("leave")
        assert self.running["gossip"].wait(within_s) == 0, self.output
        for process in reversed(self.running.values()):
            if process.is_running:
                process.send(signal.SIGINT)
            assert process.wait(within_s) == 0, self.output

    def status_of(self, name: str) -> str:
        """What this node's member list says of another: alive, leaving, left, failed, or nothing."""
        names = {0: "none", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}
        return next((names[each["Status"]] for each in self.api.get("/v1/agent/members").json() if each["Name"] == name), "")

    def serf_health(self, name: str) -> str:
        """Status of a node's ``serfHealth`` in the catalog, or nothing."""
        checks = self.api.get(f"/v1/health/node/{name}").json()
        return next((check["Status"] for check in checks if check["CheckID"] == "serfHealth"), "")

    def nodes(self, query: str = "") -> list[str]:
        """Names in the catalog, in order."""
        answer = self.api.get(f"/v1/catalog/nodes{query}", within_s=10.0)
        assert answer.status_code == 200, answer.text
        return sorted(node["Node"] for node in answer.json())

    def leader(self) -> str:
        return str(self.api.get("/v1/status/leader", within_s=2.0).json())

    def consul(self, *arguments: str) -> str:
        """Standard output of the real ``consul``, which must succeed."""
        return _run(["consul", *arguments], CONSUL_HTTP_ADDR=f"http://{self.http_address}")

    def dig(self, name: str, kind: str = "A") -> list[str]:
        """``dig +short``, in order of text."""
        host, port = self.http_address.split(":")[0], str(self.ports.dns)
        return sorted(_run(["dig", "+short", "+time=2", "+tries=3", f"@{host}", "-p", port, name, kind]).split("\n")[:-1])

    def curl(self, path: str) -> tuple[int, str]:
        """Status and body."""
        out = _run(["curl", "-s", "-m", "20", "-w", "\n%{http_code}", f"http://{self.http_address}{path}"])
        body, _, status = out.rpartition("\n")
        return int(status), body


class Fleet:
    """``datacenter`` and ``block`` (of addresses, two where it is relayed) keep fleets apart. Only what is ``relayed``, or on the hosts
    of ``lan``, which are named as the nodes, can be cut."""

    def __init__(
        self,
        folder: Path,
        form: str,
        *,
        block: int = 0,
        servers: int = 3,
        datacenter: str = "dc1",
        relayed: bool = False,
        lan: Lan | None = None,
    ) -> None:
        self.folder = folder
        self.form = form
        self.block = block
        self.count = servers
        self.datacenter = datacenter
        self.relayed = relayed
        self.hosts = list(lan.hosts.values()) if lan is not None else []
        self.flags = [f"-datacenter={datacenter}", *QUICK]
        self.ports = Ports.free(HOST if self.hosts else self._bound(1))
        self.nodes: dict[str, Node] = {}
        self.network = Network(self._processes)
        for number in range(1, self.count + 1):
            self._add(f"{datacenter}-s{number}", number, server=True, expect=self.count)

    def _bound(self, number: int) -> str:
        return self.hosts[number - 1].address if self.hosts else f"127.0.{self.block}.{number}"

    def _advertised(self, number: int) -> str:
        return self._bound(number) if self.hosts else f"127.0.{self.block + self.relayed}.{number}"

    def _processes(self) -> Mapping[int, str]:
        return {process.pid: node.bound for node in tuple(self.nodes.values()) for process in tuple(node.running.values())}

    @property
    def servers(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.is_server]

    @property
    def up(self) -> list[Node]:
        return [server for server in self.servers if server.is_up]

    def add_client(self, name: str, *flags: str) -> Node:
        """A client agent that is not started yet."""
        return self._add(name, len(self.nodes) + 1, *flags, server=False)

    def add_server(self, name: str, *flags: str) -> Node:
        """One more server, that is not started yet and finds a cluster that is there already."""
        return self._add(name, len(self.nodes) + 1, *flags, server=True)

    def _add(self, name: str, number: int, *flags: str, server: bool, expect: int = 0) -> Node:
        bound, address = self._bound(number), self._advertised(number)
        if self.relayed:
            gossip = [self.ports.serf_lan, self.ports.serf_wan]
            self.network.add(address, bound, gossip, [*gossip, self.ports.server])
        recipe = Recipe(
            name,
            bound,
            address,
            self.hosts[number - 1].client_address if self.hosts else bound,
            self.ports,
            self.folder / name / "data",
            [*self.flags, *flags],
            self._join(number),
            server,
            expect,
        )
        commands = recipe.agent() if self.form == AGENTS else recipe.roles()
        node = self.nodes[name] = Node(self.folder / name, recipe, commands)
        if self.hosts:
            node.program = self.hosts[number - 1].program()
        return node

    def _join(self, number: int) -> list[str]:
        others = [each for each in range(1, self.count + 1) if each != number]
        return ["-retry-interval=1s", *(f"-retry-join={self._advertised(each)}:{self.ports.serf_lan}" for each in others)]

    def start(self) -> None:
        """All that are known, and returns when every node serves."""
        for node in self.nodes.values():
            for name in node.commands:
                if name not in node.running or not node.running[name].is_running:
                    node.start_one(name)
        self.wait_until_whole()

    def wait_until_whole(self, within_s: float = START_LIMIT_S) -> None:
        """Every node that runs sees every other alive, and each is passing in the catalog."""
        for node in self.nodes.values():
            if node.is_up:
                self.wait_for(node, within_s)
        eventually(lambda: all(len(server.api.get("/v1/status/peers").json()) == len(self.up) for server in self.up), within_s, "voters")

    def wait_for(self, node: Node, within_s: float = START_LIMIT_S) -> None:
        """Until every running node sees this one alive, and passing in the catalog."""
        for other in self.nodes.values():
            if other.is_up:
                eventually(lambda other=other: other.status_of(node.node) == "alive", within_s, f"{other.node} sees {node.node}")  # type: ignore[misc]
                eventually(lambda other=other: other.serf_health(node.node) == "passing", within_s, f"{node.node} passing at {other.node}")  # type: ignore[misc]

    def leader(self, within_s: float = START_LIMIT_S) -> Node:
        """Once every running server names the same one, which runs."""
        return eventually(self._agreed_leader, within_s, "the servers agree on a leader")

    def _agreed_leader(self) -> Node | None:
        named = {server.leader() for server in self.up}
        return next((server for server in self.up if named == {server.server_address}), None)

    def followers(self) -> list[Node]:
        leader = self.leader()
        return [server for server in self.up if server is not leader]

    def stop(self) -> None:
        """The end of it."""
        for node in self.nodes.values():
            node.stop()
        self.network.stop()

    @property
    def output(self) -> str:
        return "\n".join(f"=== {node.node}\n{node.output}" for node in self.nodes.values())


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a node is started. ``client``: the address at which it is asked. ``expect``: the servers that are to come together; 0 where there
    is a cluster already."""

    name: str
    bound: str
    address: str
    client: str
    ports: Ports
    data: Path
    flags: Sequence[str]
    join: Sequence[str]
    server: bool
    expect: int

    @property
    def _kind(self) -> list[str]:
        return [*(["-server"] if self.server else []), *self._together]

    @property
    def _together(self) -> list[str]:
        return [f"-bootstrap-expect={self.expect}"] if self.expect else []

    @property
    def _place(self) -> list[str]:
        return [f"-bind={self.bound}", f"-advertise={self.address}"]

    def agent(self) -> Mapping[str, Sequence[str]]:
        """One process."""
        shared = [f"-data-dir={self.data}", f"-client={self.client}", *self.ports.flags(), *self.flags]
        return {"agent": ["agent", *self._kind, f"-node={self.name}", *self._place, *shared, *self.join]}

    def roles(self) -> Mapping[str, Sequence[str]]:
        """A process for each role, which meet at the sockets in the data folder."""
        client = [f"-client={self.client}", *self.ports.flags("http", "dns", "grpc", "server")]
        gossip_ports = self.ports.flags("serf_lan", "serf_wan", "server")
        commands = {"gossip": ["gossip", *self._kind, f"-node={self.name}", *self._place, *gossip_ports, *self.join]}
        if self.server:
            commands["consensus"] = ["consensus", *self._together, *self._place, *self.ports.flags("server")]
            commands["catalog"] = ["catalog"]
        for role in ("local", "dns", "gateway"):
            commands[role] = [role, *client] if self.server else ["agent", f"-roles={role}", *client, *self.join]
        assert set(commands) <= set(ROLES)
        return {role: [*command, f"-data-dir={self.data}", *self.flags] for role, command in commands.items()}


def _run(command: Sequence[str], **environment: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env={**os.environ, **environment})
    assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout
