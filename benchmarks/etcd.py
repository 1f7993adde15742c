"""etcd as the peer of ``consensus.py``: a cluster of its processes, and puts by its own gRPC API (https://etcd.io/docs/v3.5/learning/api/).

The two messages that are needed are encoded here by hand: a key and a value go out, and of the answer only its coming counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import grpc
from consensus_load import LIMIT_S, SIZE, Measured, Servers, free_addresses, summarised
from grpc import aio

PUT, RANGE = "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range"


class Etcd(Servers):
    """Servers of one cluster."""

    name = "etcd"

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(count)
        self.folder = folder
        self._peers = free_addresses(count)
        for number in range(count):
            self.start(number)

    @staticmethod
    def is_here() -> bool:
        return shutil.which("etcd") is not None and shutil.which("etcdctl") is not None

    def start(self, number: int) -> None:
        cluster = ",".join(f"n{each}=http://{peer}" for each, peer in enumerate(self._peers))
        address, peer, folder = self.addresses[number], self._peers[number], self.folder / f"n{number}"
        flags: Mapping[str, str] = {
            "name": f"n{number}",
            "data-dir": str(folder),
            "listen-client-urls": f"http://{address}",
            "advertise-client-urls": f"http://{address}",
            "listen-peer-urls": f"http://{peer}",
            "initial-advertise-peer-urls": f"http://{peer}",
            "initial-cluster": cluster,
            "logger": "zap",
            "log-level": "fatal",
            "quota-backend-bytes": str(8 * 1024**3),
        }
        command = ["etcd", *(f"--{name}={value}" for name, value in flags.items())]
        self.processes[number] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def leader(self, *, other_than: int | None = None) -> int:
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            for number, address in enumerate(self.addresses):
                if number != other_than and self._leads(address):
                    return number
            time.sleep(0.005)
        raise SystemExit("no etcd became leader")

    def _leads(self, address: str) -> bool:
        command = ["etcdctl", f"--endpoints=http://{address}", "endpoint", "status", "-w=json", "--command-timeout=500ms"]
        done = subprocess.run(command, capture_output=True, env={**os.environ, "ETCDCTL_API": "3"}, check=False)
        if done.returncode != 0:
            return False
        status = json.loads(done.stdout)[0]["Status"]
        return bool(status["leader"] == status["header"]["member_id"])


def _field(number: int, value: bytes) -> bytes:
    length = len(value)
    return bytes([number << 3 | 2, *([length & 0x7F | 0x80, length >> 7] if length > 127 else [length])]) + value


def _same(data: bytes) -> bytes:
    return data


async def put(address: str, in_flight: int, streams: int, seconds: float) -> Measured:
    """Keeps so many puts in flight, each a call of its own over ``streams`` connections."""
    value = os.urandom(SIZE)
    latencies: list[float] = []
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [aio.insecure_channel(address, options=options) for _ in range(streams)]
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        call = channels[number % streams].unary_unary(PUT, request_serializer=_same, response_deserializer=_same)
        request = _field(1, b"key-%d" % number) + _field(2, value)
        while (began := time.perf_counter()) < end:
            await call(request)
            latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(one(number) for number in range(in_flight)))
    for channel in channels:
        await channel.close()
    return summarised(latencies, seconds)


async def read(address: str, in_flight: int, _consistent: bool, seconds: float) -> Measured:
    """Linearizable reads of a key that is not there: a read index each."""
    latencies: list[float] = []
    async with aio.insecure_channel(address) as channel:
        call = channel.unary_unary(RANGE, request_serializer=_same, response_deserializer=_same)
        end = time.perf_counter() + seconds

        async def one() -> None:
            while (began := time.perf_counter()) < end:
                await call(_field(1, b"none"))
                latencies.append(time.perf_counter() - began)

        await asyncio.gather(*(one() for _ in range(in_flight)))
    return summarised(latencies, seconds)


async def put_until_done(addresses: list[str]) -> float:
    """The moment (CLOCK_MONOTONIC) of the first put that any of the servers acknowledges."""
    request = _field(1, b"key") + _field(2, b"value")
    while True:
        for address in addresses:
            async with aio.insecure_channel(address) as channel:
                call = channel.unary_unary(PUT, request_serializer=_same, response_deserializer=_same)
                try:
                    await call(request, timeout=0.5)
                    return time.monotonic()
                except grpc.RpcError:
                    await asyncio.sleep(0.005)
