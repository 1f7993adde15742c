"""Resolvers that people run in front of an agent: dnsmasq and unbound forward ``consul.`` to it, as docs/guides/dns-forwarding.md says."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..harness.deployment import HOST, Deployment
from ..harness.names import Resolver
from ..harness.ports import free_port
from ..harness.program import Program
from ..harness.waiting import eventually

pytestmark = pytest.mark.process


PAGE = Path(__file__).parents[3] / "docs" / "guides" / "dns-forwarding.md"


def told(title: str, agent: int) -> str:
    """The configuration that the page shows under a title, for an agent on another port."""
    _, _, section = PAGE.read_text().partition(f"\n## {title}\n")
    return section.split("```")[1].partition("\n")[2].replace("8600", str(agent))


def dnsmasq(folder: Path, port: int, agent: int) -> list[str]:
    (folder / "dnsmasq.conf").write_text(told("dnsmasq", agent))
    return ["dnsmasq", "--keep-in-foreground", f"--conf-file={folder}/dnsmasq.conf", "--no-resolv", "--no-hosts", "--cache-size=1000",
            f"--pid-file={folder}/pid", "--user=", "--group=", f"--port={port}", f"--listen-address={HOST}",
            "--bind-interfaces"]  # fmt: skip


def unbound(folder: Path, port: int, agent: int) -> list[str]:
    (folder / "unbound.conf").write_text(f"""
server:
  interface: {HOST}@{port}
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/pid"
  use-syslog: no
  module-config: "iterator"
  num-threads: 1
remote-control:
  control-enable: no
{told("unbound", agent)}
""")
    return ["unbound", "-d", "-p", "-c", str(folder / "unbound.conf")]


FORWARDERS: dict[str, Callable[[Path, int, int], list[str]]] = {"dnsmasq": dnsmasq, "unbound": unbound}


@contextmanager
def forwarding(name: str, folder: Path, agent: int) -> Iterator[Resolver]:
    port = free_port()
    log = folder / "log"
    with log.open("w") as output, subprocess.Popen(FORWARDERS[name](folder, port, agent), stdout=output, stderr=output) as process:
        try:
            resolver = Resolver(HOST, port)

            def is_up() -> bool:
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended: {log.read_text()}")
                return bool(resolver.ask("consul", "SOA", recursive=True, within_s=1.0).answer)

            eventually(is_up, 20.0, f"{name} forwards")
            yield resolver
        finally:
            process.terminate()


@pytest.mark.parametrize("name", FORWARDERS)
def test_names_are_found_through_a_resolver(agent: Deployment, tmp_path: Path, require: Callable[..., None], name: str) -> None:
    require(name)
    for number in range(30):
        agent.api.register(f"far-{number}", f"127.1.0.{number + 1}", Service={"Service": "far", "Port": 25})
    try:
        with forwarding(name, tmp_path, agent.ports.dns) as resolver:
            eventually(lambda: agent.dns.addresses("far-29.node.consul"), 10.0, "the agent's DNS shows all of it")
            assert resolver.addresses("far-7.node.consul", recursive=True) == ["127.1.0.8"]
            assert resolver.code("nobody.service.consul", recursive=True) == "NXDOMAIN"
            assert resolver.code("far-7.node.consul", "MX", recursive=True) == "NOERROR"
            # What was cut for UDP comes whole: the resolver, or its client, asks again over TCP.
            eventually(
                lambda: sum(len(rrset) for rrset in resolver.ask("far.service.consul", "SRV", recursive=True, tcp=True).answer) == 30,
                10.0,
                "all thirty come",
            )
            agent.api.deregister("far-7")
            eventually(lambda: resolver.code("far-7.node.consul", recursive=True) == "NXDOMAIN", 10.0, "nothing is kept too long")
            agent.api.register("far-7", "127.1.0.99")
            eventually(lambda: resolver.addresses("far-7.node.consul", recursive=True) == ["127.1.0.99"], 10.0, "nor its absence")
    finally:
        for number in range(30):
            agent.api.deregister(f"far-{number}")


RESOLVED = shutil.which("systemd-resolved", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/lib/systemd", "/lib/systemd"]))
OWN_MACHINE = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
RESOLVES = """
set -eu
for folder in /run /etc/systemd; do mount -t tmpfs tmpfs $folder; done
mkdir -p /etc/systemd/resolved.conf.d /run/systemd/resolve
cp {folder}/consul.conf /etc/systemd/resolved.conf.d/
(cat /etc/passwd; echo systemd-resolve:x:193:193::/:/bin/false) > /run/passwd && mount --bind /run/passwd /etc/passwd
(cat /etc/group; echo systemd-resolve:x:193:) > /run/group && mount --bind /run/group /etc/group
chown 193:193 /run/systemd/resolve
ip link set lo up
ip link add uplink type veth peer name far && ip addr add 10.9.9.9/24 dev uplink && ip link set uplink up && ip link set far up
{rostra} agent -dev -node=solo > {folder}/agent.log 2>&1 &
{resolved} > {folder}/resolved.log 2>&1 &
for attempt in $(seq {attempts}); do
  dig @127.0.0.53 solo.node.consul +short +time=2 +tries=1 | grep -qx 127.0.0.1 && break || sleep 0.5
done
dig @127.0.0.53 solo.node.consul +short
dig @127.0.0.53 consul.service.consul SRV +short
dig @127.0.0.53 nobody.service.consul | grep -o 'status: [A-Z]*'
"""


@pytest.mark.skipif(RESOLVED is None or os.geteuid() != 0, reason="needs systemd-resolved, and root")
def test_names_are_found_through_systemd_resolved(program: Program, tmp_path: Path, require: Callable[..., None]) -> None:
    """On a machine of its own: it takes port 53 and the files of the system. Nothing installs it for the tests, as that would change the
    resolver of the machine that they run on."""
    require("dig", "ip", "unshare")
    (tmp_path / "consul.conf").write_text(told("systemd-resolved (246 or later)", 8600))
    script = RESOLVES.format(folder=tmp_path, rostra=" ".join(program.command), resolved=RESOLVED, attempts=120)
    environment = {**os.environ, **program.environment_in(tmp_path)}
    done = subprocess.run(
        [*OWN_MACHINE, "sh", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.stdout.split("\n") == ["127.0.0.1", "1 1 8300 solo.node.dc1.consul.", "status: NXDOMAIN", ""], done.stderr
