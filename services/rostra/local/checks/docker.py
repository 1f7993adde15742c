"""Docker: a script within a container, by the exec calls of the Docker Engine API (https://docs.docker.com/reference/api/engine/).

Exit codes mean what they mean for scripts. ``args`` are run as they are; ``shell`` is taken and not used, as in Consul.
"""

from __future__ import annotations

import asyncio
import os
import struct
from typing import Any, Final
from urllib.parse import quote

import msgspec

from rostra.local.checks.dialing import reason
from rostra.local.checks.http_exchange import ExchangeError, Response, read_response, request_bytes
from rostra.local.checks.outcome import SCRIPT_TIMEOUT_S, Outcome, Tail, critical
from rostra.local.checks.script import captured, status_of
from rostra.model.catalog import CheckDefinition

DEFAULT_SOCKET: Final = "/var/run/docker.sock"
ANSWER_MAX: Final = 1 << 16
FRAME_HEAD: Final = struct.Struct(">BxxxI")
"""The stream of an exec without a terminal: which output, and how many bytes of it follow."""


class DockerCheck:
    """Three calls on the engine's socket: create the exec, start it, ask how it ended."""

    def __init__(self, definition: CheckDefinition, output_max_size: int) -> None:
        self._container = definition.docker_container_id
        self._args = definition.args
        self._timeout_s = definition.timeout_s or SCRIPT_TIMEOUT_S
        self._limit = output_max_size
        self._socket = os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or DEFAULT_SOCKET

    async def run(self) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._run()
        except TimeoutError:
            return critical(f"docker exec in container {self._container}: timed out")
        except ExchangeError as error:
            return critical(str(error))
        except OSError as error:
            return critical(f"create exec failed for container {self._container}: dial unix {self._socket}: {reason(error)}")

    async def _run(self) -> Outcome:
        request = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(self._args)}
        created, answer = await self._call("POST", f"/containers/{quote(self._container, safe='')}/exec", request)
        if created == 404:
            raise ExchangeError(f"create exec failed for unknown container {self._container}")
        exec_id = answer.get("Id")
        if created != 201 or not isinstance(exec_id, str):
            raise ExchangeError(f"create exec failed for container {self._container} with status {created}: {answer.get('message', '')}")
        tail = Tail(self._limit)
        await self._start(exec_id, tail)
        code, answer = await self._call("GET", f"/exec/{quote(exec_id, safe='')}/json")
        if code != 200:
            raise ExchangeError(f"inspect exec failed for container {self._container} with status {code}")
        exit_code = answer.get("ExitCode")
        return Outcome(status_of(exit_code if isinstance(exit_code, int) else -1), captured(tail, self._limit))

    async def _start(self, exec_id: str, tail: Tail) -> None:
        stream = _Demultiplexer(tail)
        response = await self._exchange("POST", f"/exec/{quote(exec_id, safe='')}/start", {"Detach": False, "Tty": False}, stream)
        if response.status not in (101, 200):
            raise ExchangeError(f"start exec failed for container {self._container} with status {response.status}")

    async def _call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        response = await self._exchange(method, path, body, Tail(ANSWER_MAX))
        try:
            answer = msgspec.json.decode(response.tail.text or "{}")
        except msgspec.DecodeError:
            answer = {}
        return response.status, answer if isinstance(answer, dict) else {}

    async def _exchange(self, method: str, path: str, body: object, tail: Tail) -> Response:
        payload = b"" if body is None else msgspec.json.encode(body)
        headers = [("Host", "docker"), ("Content-Type", "application/json")]
        request = request_bytes(method, path, headers, payload)
        response = Response(tail)
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(request)
            await read_response(reader, response)
        finally:
            writer.transport.abort()
        return response


class _Demultiplexer(Tail):
    """Both outputs as one, in the order in which they came, written to ``tail``."""

    def __init__(self, tail: Tail) -> None:
        super().__init__(0)
        self._into = tail
        self._head = b""
        self._left = 0

    def write(self, data: bytes) -> None:
        self.total += len(data)
        while data:
            if self._left:
                part, data = data[: self._left], data[self._left :]
                self._left -= len(part)
                self._into.write(part)
            else:
                missing = FRAME_HEAD.size - len(self._head)
                self._head, data = self._head + data[:missing], data[missing:]
                if len(self._head) == FRAME_HEAD.size:
                    self._left = FRAME_HEAD.unpack(self._head)[1]
                    self._head = b""
