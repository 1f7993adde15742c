"""Whoever records what an encrypted pool says, and says it again later, achieves nothing: boxes carry no time, so what is inside must."""

from __future__ import annotations

from rostra.gossip.address import Address
from rostra.gossip.effects import ExchangeDone
from rostra.gossip.key_queries import KeyOperation
from rostra.gossip.queries import QueryRequest
from rostra.gossip.wire.errors import Reason
from rostra.gossip.wire.serf_messages import KeyRequest, encode_serf
from rostra.model.members import MemberStatus

from .simulator import Process, Simulation, user_events

KEY, OTHER = bytes(range(16)), bytes(range(32))
STRANGER = Address(bytes((10, 9, 9, 9)), 1)


class Recording(Simulation):
    """Everything that is sent to ``m0`` is kept."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, keys=[KEY])
        self.kept: list[bytes] = []

    def _send(self, sender: str, address: Address, data: bytes) -> None:
        if address == self._addresses["m0"]:
            self.kept.append(data)
        super()._send(sender, address, data)

    def command(self, name: str, run: str, *arguments: object, **options: object) -> None:
        process = self.processes[name]
        getattr(process.core, run)(*arguments, self.now, **options)
        self.settle(process)
        self.run(10)


def believed(process: Process) -> dict[str, tuple[MemberStatus, int, str]]:
    return {member.name: (member.status, member.incarnation, str(dict(member.tags))) for member in process.core.serf.members.members()}


def test_what_is_replayed_changes_nothing_and_is_counted() -> None:
    simulation = Recording(1)
    simulation.start_pool(5)
    simulation.command("m1", "set_tags", {"role": "before"})
    simulation.command("m1", "user_event", "deploy", b"v1", coalesce=False)
    simulation.command("m2", "ask", QueryRequest(KeyOperation.INSTALL.value, encode_serf(KeyRequest(key=OTHER))))
    simulation.command("m2", "ask", QueryRequest(KeyOperation.REMOVE.value, encode_serf(KeyRequest(key=OTHER))))
    simulation.command("m2", "ask", QueryRequest("load", wants_acks=True, relay_factor=1))
    simulation.leave("m3")
    simulation.run(20)
    simulation.start("m3", join="m0")
    simulation.crash("m4")
    simulation.run(30)
    simulation.start("m4", join="m1")
    simulation.run(30)
    simulation.command("m1", "set_tags", {"role": "after"})
    assert simulation.is_converged()

    target, kept = simulation.processes["m0"], list(simulation.kept)
    assert len(kept) > 200
    before, happened = believed(target), len(target.events)
    sent = simulation.packets_sent["m0"]
    for _ in range(2):
        simulation.rng.shuffle(kept)
        for data in kept:
            target.core.receive_packet(data, STRANGER, simulation.now)
            simulation.settle(target)
            simulation.run(0.01)
    simulation.run(60)
    assert simulation.is_converged()
    assert believed(target) == before
    assert target.core.keys == (KEY,)
    assert user_events(target) == {("deploy", b"v1"): 1}
    assert {type(event) for _, event in target.events[happened:]} <= {ExchangeDone}  # its own push-pulls
    assert target.core.refused[Reason.STALE] > 50
    # One packet may bring about one answer, to the member that the packet names; nothing is multiplied.
    assert simulation.packets_sent["m0"] - sent < 3 * len(kept) + 200
    assert {name for _, _, name in simulation.failures_reported()} == {"m4"}
