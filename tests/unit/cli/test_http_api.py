"""How an agent is found and asked, and what is said when that fails."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rostra.cli.http_api import Api, Refused, path_of
from rostra.errors import BadRequest, RostraError, Unavailable

from .conftest import FakeAgent, Server

DOING = "asking"


def api(address: str, environ: dict[str, str] | None = None, **flags: str | bool) -> Api:
    return Api(Namespace(http_addr=address, **flags), environ or {})


def serve_once(answer: bytes) -> str:
    """The address of a server that answers one connection with these bytes and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection, contextlib.suppress(OSError):  # who has read enough hangs up
            connection.recv(65536)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


def test_the_flag_goes_before_the_variable_and_both_before_the_default(agent: FakeAgent) -> None:
    agent.answers["GET /v1/x"] = ["yes"]
    assert api(agent.address, {"CONSUL_HTTP_ADDR": "127.0.0.1:1"}).get("/v1/x", DOING, list) == ["yes"]
    assert api("", {"CONSUL_HTTP_ADDR": f"http://{agent.address}"}).get("/v1/x", DOING, list) == ["yes"]
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:1: connection refused; is the agent running there\?"):
        api("127.0.0.1:1").get("/v1/x", DOING, list)


@pytest.mark.parametrize(
    ("flags", "environ", "sent"),
    [
        ({"token": "flag"}, {"CONSUL_HTTP_TOKEN": "variable"}, "flag"),
        ({}, {"CONSUL_HTTP_TOKEN": "variable"}, "variable"),
        ({"token": "flag"}, {"CONSUL_HTTP_TOKEN_FILE": "{file}"}, "from-file"),
        ({"token_file": "{file}", "token": "flag"}, {}, "from-file"),
        ({}, {}, None),
    ],
)
def test_a_token_file_goes_before_a_token_as_in_consul(
    agent: FakeAgent, tmp_path: Path, flags: dict[str, str], environ: dict[str, str], sent: str | None
) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    agent.answers["GET /v1/x"] = []
    values = {name: value.replace("{file}", str(file)) for name, value in flags.items()}
    api(agent.address, {name: value.replace("{file}", str(file)) for name, value in environ.items()}, **values).get("/v1/x", DOING, list)
    assert agent.requests[0].headers.get("X-Consul-Token") == sent


def test_basic_credentials_datacenter_and_stale_go_along(agent: FakeAgent) -> None:
    agent.answers["GET /v1/x"] = None
    asked = api(agent.address, {"CONSUL_HTTP_AUTH": "user:pass:word"}, datacenter="dc 2", stale=True)
    assert asked.get("/v1/x", DOING, dict, {"near": ["a&b", "c"]}) == {}
    assert agent.requests[0].headers["Authorization"] == "Basic dXNlcjpwYXNzOndvcmQ="
    assert agent.requests[0].query == {"dc": ["dc 2"], "stale": [""], "near": ["a&b", "c"]}


def test_a_name_in_a_path_is_escaped(agent: FakeAgent) -> None:
    agent.answers["GET /v1/catalog/node/a%2Fb%3F%20%C3%A9"] = {}
    assert api(f"http://{agent.address}/").get(path_of("catalog", "node", "a/b? é"), DOING, dict) == {}


def test_an_address_may_have_a_path_before_the_api(agent: FakeAgent) -> None:
    agent.answers["GET /prefix/v1/x"] = []
    assert api(f"http://{agent.address}/prefix").get("/v1/x", DOING, list) == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://x", "unknown protocol scheme 'ftp'"),
        ("http://", "no host in it"),
        ("127.0.0.1:x", "Port could not be cast"),
        ("127.0.0.1:99999", "Port out of range"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_by_name(address: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        api(address)
    assert address in str(caught.value)


def test_a_refusal_carries_the_code_and_the_reason_on_one_line(agent: FakeAgent) -> None:
    agent.answers["PUT /v1/x"] = (500, "1 error occurred:\n\t* no\n\n")
    with pytest.raises(Refused) as caught:
        api(agent.address).put("/v1/x", DOING, body={"a": 1})
    assert str(caught.value) == "Error asking: Unexpected response code: 500 (1 error occurred: * no)"
    assert agent.requests[0].body == b'{"a": 1}'


@pytest.mark.parametrize("body", [b"<html>", b'"text"', b"{}"])
def test_an_answer_of_the_wrong_kind_asks_whether_this_is_consuls_api(agent: FakeAgent, body: bytes) -> None:
    agent.answers["GET /v1/x"] = body
    with pytest.raises(Unavailable, match=r"is that Consul's HTTP API\?"):
        api(agent.address).get("/v1/x", DOING, list)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n[1\r\n1\r\n]\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[1]",
        b"HTTP/1.0 200 OK\r\n\r\n[1]",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]",
    ],
)
def test_a_body_ends_by_chunks_by_length_or_by_the_end_of_the_connection(answer: bytes) -> None:
    assert api(serve_once(answer)).get("/v1/x", DOING, list) == [1]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[1]",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n[1]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1]",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70000 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_or_is_cut_off_is_one_clear_error(answer: bytes) -> None:
    with pytest.raises(RostraError, match=r"Error asking: http://127\.0\.0\.1:\d+(: connection reset| does not speak HTTP)"):
        api(serve_once(answer)).get("/v1/x", DOING, list)


def test_a_stream_hands_on_each_part_as_it_comes() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n2\r\nb\n\r\n0\r\n\r\n"
    assert b"".join(api(serve_once(answer)).stream("/v1/x", DOING)) == b"a\nb\n"


def test_a_unix_socket_is_an_address_too(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

        thread = threading.Thread(target=serve)
        thread.start()
        assert api(f"unix://{path}").get("/v1/x", DOING, list) == []
        thread.join()
    with pytest.raises(Unavailable, match="no such file or directory; is the agent running there"):
        api(f"unix://{tmp_path}/none").get("/v1/x", DOING, list)


def test_a_missing_token_file_is_named() -> None:
    with pytest.raises(BadRequest, match="cannot read the token file /nowhere/token: no such file or directory"):
        api("127.0.0.1:1", token_file="/nowhere/token")


@pytest.fixture
def tls_agent(agent: FakeAgent, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """An HTTPS server with a certificate of its own for ``server.dc1.rostra``: its address and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server.dc1.rostra")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(hours=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("server.dc1.rostra")]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    file = tmp_path / "server.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    agent.answers["GET /v1/x"] = ["secure"]

    class SecureServer(Server):
        def finish_request(self, request: object, client_address: object) -> None:
            assert isinstance(request, socket.socket)
            try:
                with context.wrap_socket(request, server_side=True) as wrapped:
                    super().finish_request(wrapped, client_address)
            except OSError:
                pass  # the client did not like the certificate

    with SecureServer(("127.0.0.1", 0), agent.handler()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}", str(file)
        server.shutdown()
        thread.join()


def test_https_checks_the_certificate_against_authority_and_name(tls_agent: tuple[str, str]) -> None:
    address, file = tls_agent
    assert api(f"https://{address}", ca_file=file, tls_server_name="server.dc1.rostra").get("/v1/x", DOING, list) == ["secure"]
    variables = {"CONSUL_HTTP_SSL": "true", "CONSUL_CACERT": file, "CONSUL_TLS_SERVER_NAME": "server.dc1.rostra"}
    assert api(address, variables).get("/v1/x", DOING, list) == ["secure"]
    for authority, name in (("", "server.dc1.rostra"), (file, ""), (file, "server.dc2.rostra")):
        with pytest.raises(Unavailable, match="certificate that fits -ca-file and -tls-server-name"):
            api(f"https://{address}", ca_file=authority, tls_server_name=name).get("/v1/x", DOING, list)


def test_https_is_not_checked_where_the_variable_says_so(tls_agent: tuple[str, str]) -> None:
    assert api(f"https://{tls_agent[0]}", {"CONSUL_HTTP_SSL_VERIFY": "false"}).get("/v1/x", DOING, list) == ["secure"]


def test_https_to_a_plain_port_says_what_to_check(agent: FakeAgent) -> None:
    with pytest.raises(Unavailable, match="does that port speak HTTPS"):
        api(f"https://{agent.address}").get("/v1/x", DOING, list)
