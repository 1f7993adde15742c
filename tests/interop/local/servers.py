"""Servers that both agents check."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

HOST = "127.0.0.1"


class Web(http.server.BaseHTTPRequestHandler):
    """The path says what to answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, what, *rest = self.path.split("/")
        body = {"big": b"".join(b"%07d\n" % number for number in range(2000)), "binary": b"\xff\xfe\x00abc\xc3"}.get(
            what, b"said " + self.path.encode()
        )
        if what == "slow":
            time.sleep(3.0)
        self.send_response(int(rest[0]) if what == "code" else 200)
        if what == "code" and rest[0].startswith("3") and len(rest) > 1:
            self.send_header("Location", f"/code/{rest[1]}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        pass


class Raw(socketserver.StreamRequestHandler):
    """Answers that no decent server gives."""

    ANSWERS = {
        b"/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"/nothing": b"",
        b"/loop": b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n",
        b"/to-close": b"HTTP/1.1 200 OK\r\n\r\nuntil close",
        b"/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"/continue": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        b"/hangs": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    }

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            path = self.rfile.readline().split()[1]
            while self.rfile.readline().strip():
                pass
            self.wfile.write(self.ANSWERS[path])
            if path == b"/hangs":
                time.sleep(3.0)


class Docker(http.server.BaseHTTPRequestHandler):
    """The exec calls of the Docker Engine API; the container's name ends in the exit code."""

    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "engine"

    def log_request(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self._skip_body()
        if self.path.endswith("/start"):
            self._send(200, b"".join(struct.pack(">BxxxI", kind, 4) + text for kind, text in ((1, b"out\n"), (2, b"err\n"))))
        elif "/gone/" in self.path:
            self._send(404, b'{"message": "No such container: gone"}')
        else:
            self._send(201, b'{"Id": "%s"}' % self.path.split("/")[-2].encode())

    def do_GET(self) -> None:
        self._send(200, b'{"Running": false, "ExitCode": %s}' % self.path.split("/")[-2][-1:].encode())

    def _skip_body(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    """In a thread; its port, where it has one."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1] if isinstance(server.server_address, tuple) else 0
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def web() -> Iterator[int]:
    with serving(http.server.ThreadingHTTPServer((HOST, 0), Web)) as port:
        yield port


@contextlib.contextmanager
def raw() -> Iterator[int]:
    with serving(TcpServer((HOST, 0), Raw)) as port:
        yield port


@contextlib.contextmanager
def docker(path: Path) -> Iterator[None]:
    with serving(UnixServer(str(path), Docker)):
        yield


@contextlib.contextmanager
def grpc_health() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    servicer = health.HealthServicer()
    servicer.set("sick", health_pb2.HealthCheckResponse.NOT_SERVING)
    servicer.set("well", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0)


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(512)
        yield int(listener.getsockname()[1])


@contextlib.contextmanager
def closed() -> Iterator[int]:
    """A port that is taken and on which nobody listens."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        yield int(held.getsockname()[1])
