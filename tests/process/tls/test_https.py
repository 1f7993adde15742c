"""HTTPS, the public gRPC port and DNS over TLS of one agent, asked by other programs."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import dns.message
import dns.query
import grpc
import httpx
import pytest

from ..conftest import Start
from ..harness.deployment import HOST, Deployment
from ..harness.ports import free_port
from .pki import Pki
from .test_cluster import is_let_in, shown_by

pytestmark = pytest.mark.process


class Secure:
    """A dev agent with TLS at every door of clients."""

    def __init__(self, start: Start, pki: Pki, more: str = "") -> None:
        self.pki = pki
        self.https = free_port()
        self.dns = free_port()
        blocks = [pki.block("https", more=more), pki.block("grpc")]
        self.node: Deployment = start(*blocks, f"-https-port={self.https}", f"-dns-tls-port={self.dns}")
        self.url = f"https://{HOST}:{self.https}"

    def cli(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.node.program.run(self.node.folder, *arguments, env=env)

    def serial(self) -> str:
        """Of the certificate that HTTPS shows to a new connection."""

        async def look() -> str:
            context = ssl.create_default_context(cafile=str(self.pki.ca_file))
            _, writer = await asyncio.open_connection(HOST, self.https, ssl=context)
            found = str(writer.get_extra_info("peercert")["serialNumber"])
            writer.close()
            await writer.wait_closed()
            return found

        return asyncio.run(look())


@pytest.fixture
def secure(start_dev: Start, pki: Pki) -> Secure:
    return Secure(start_dev, pki)


def test_the_command_line_asks_over_https(secure: Secure) -> None:
    plain = secure.node.cli("members")
    by_flags = secure.cli("members", f"-http-addr={secure.url}", f"-ca-file={secure.pki.ca_file}", "-tls-server-name=server.dc1.consul")
    variables = {"CONSUL_HTTP_ADDR": f"{HOST}:{secure.https}", "CONSUL_HTTP_SSL": "true"}
    by_variables = secure.cli("members", **variables, CONSUL_CACERT=str(secure.pki.ca_file))
    unchecked = secure.cli("members", **variables, CONSUL_HTTP_SSL_VERIFY="false")
    assert [each.stdout for each in (by_flags, by_variables, unchecked)] == [plain] * 3


def test_the_command_line_refuses_an_agent_that_it_does_not_trust(secure: Secure, stranger: Pki) -> None:
    for wrong in ([], [f"-ca-file={stranger.ca_file}"], [f"-ca-file={secure.pki.ca_file}", "-tls-server-name=other.example"]):
        done = secure.cli("members", f"-http-addr={secure.url}", *wrong)
        assert done.returncode == 1
        assert "certificate" in done.stderr
        assert done.stdout == ""


@pytest.mark.interop("curl")
def test_curl_asks_over_https(secure: Secure) -> None:
    command = ["curl", "-sS", "--cacert", str(secure.pki.ca_file), f"{secure.url}/v1/agent/self"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert '"NodeName": "solo"' in done.stdout or '"NodeName":"solo"' in done.stdout


@pytest.mark.interop("curl")
def test_https_with_verify_incoming_takes_nobody_without_a_certificate(start_dev: Start, pki: Pki, stranger: Pki) -> None:
    secure = Secure(start_dev, pki, "verify_incoming = true")
    url = f"{secure.url}/v1/status/leader"
    for shown, is_welcome in ((None, False), (stranger.make("cli"), False), (pki.make("cli"), True)):
        flags = ["--cert", str(shown[0]), "--key", str(shown[1])] if shown else []
        done = subprocess.run(["curl", "-sS", "--cacert", str(pki.ca_file), *flags, url], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is is_welcome, done.stderr
    certificate, key = pki.make("cli")
    asked = ["members", f"-http-addr={secure.url}", f"-ca-file={pki.ca_file}"]
    assert secure.cli(*asked).returncode == 1
    assert secure.cli(*asked, f"-client-cert={certificate}", f"-client-key={key}").returncode == 0
    env = {"CONSUL_CLIENT_CERT": str(certificate), "CONSUL_CLIENT_KEY": str(key)}
    assert secure.cli(*asked, **env).returncode == 0


def test_plaintext_at_the_https_port_is_no_answer(secure: Secure) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{HOST}:{secure.https}/v1/status/leader", trust_env=False)


def test_a_handshake_that_never_ends_is_cut_off(start_dev: Start, pki: Pki) -> None:
    https = free_port()
    start_dev(pki.block("https"), f"-https-port={https}", '-hcl=limits { https_handshake_timeout = "200ms" }')
    with socket.create_connection((HOST, https)) as silent:
        silent.settimeout(5.0)
        assert silent.recv(1) == b""


@pytest.mark.parametrize("way", ["SIGHUP", "rostra reload"])
def test_a_reload_shows_the_new_certificate_and_drops_no_connection(way: str, secure: Secure) -> None:
    before = secure.serial()
    context = ssl.create_default_context(cafile=str(secure.pki.ca_file))
    with httpx.Client(base_url=secure.url, verify=context, trust_env=False) as kept:
        index = kept.get("/v1/catalog/nodes").headers["X-Consul-Index"]
        secure.pki.renew("https")
        if way == "SIGHUP":
            secure.node.only.send(signal.SIGHUP)
            assert "tls.https" in secure.node.only.wait_for_line("configuration reloaded")
        else:
            assert secure.cli("reload", f"-http-addr={secure.url}", f"-ca-file={secure.pki.ca_file}").returncode == 0
        assert secure.serial() != before
        assert kept.get(f"/v1/catalog/nodes?index={index}&wait=100ms").status_code == 200, "on the connection from before"


def test_a_reload_with_a_bad_certificate_keeps_the_good_one(secure: Secure) -> None:
    before = secure.serial()
    key = secure.pki.work / "https-server-key.pem"
    key.write_text("half a key")
    secure.node.only.send(signal.SIGHUP)
    line = secure.node.only.wait_for_line("configuration not reloaded")
    assert f"tls.https.key_file {key}: holds no private key in PEM" in line
    assert secure.serial() == before
    done = secure.cli("reload", f"-http-addr={secure.url}", f"-ca-file={secure.pki.ca_file}")
    assert done.returncode == 1
    assert "holds no private key" in done.stderr


def test_the_public_grpc_port_speaks_tls(secure: Secure, pki: Pki) -> None:
    only_authority = grpc.ssl_channel_credentials(pki.ca_file.read_bytes())
    assert is_let_in(secure.node.grpc_address, only_authority), "clients need no certificate unless told so"
    assert is_let_in(secure.node.grpc_address, shown_by(pki))
    assert not is_let_in(secure.node.grpc_address, None)


def test_dns_over_tls_answers_as_dns_does(secure: Secure) -> None:
    context = ssl.create_default_context(cafile=str(secure.pki.ca_file))
    question = dns.message.make_query("solo.node.consul", "A")
    answer = dns.query.tls(question, HOST, port=secure.dns, timeout=5, ssl_context=context, server_hostname="localhost")
    assert [rdata.address for rrset in answer.answer for rdata in rrset] == secure.node.dns.addresses("solo.node.consul")


def test_dns_over_https_answers_as_dns_does(secure: Secure) -> None:
    """RFC 8484, with the certificate of HTTPS."""
    question = dns.message.make_query("solo.node.consul", "A")
    headers = {"Content-Type": "application/dns-message"}
    context = ssl.create_default_context(cafile=str(secure.pki.ca_file))
    response = httpx.post(f"{secure.url}/dns-query", content=question.to_wire(), headers=headers, verify=context, trust_env=False)
    answer = dns.message.from_wire(response.content)
    assert [rdata.address for rrset in answer.answer for rdata in rrset] == secure.node.dns.addresses("solo.node.consul")


@pytest.mark.interop("consul")
def test_the_real_consul_command_asks_over_https(secure: Secure, tmp_path: Path) -> None:
    command = [shutil.which("consul") or "", "members", f"-http-addr={secure.url}", f"-ca-file={secure.pki.ca_file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "solo" in done.stdout


@pytest.mark.interop("consul", "curl")
def test_certificates_of_the_real_consul_serve_us(start_dev: Start, tmp_path: Path) -> None:
    made = tmp_path / "consul"
    made.mkdir()
    for words in (["ca", "create"], ["cert", "create", "-server"], ["cert", "create", "-cli"]):
        subprocess.run([shutil.which("consul") or "", "tls", *words], cwd=made, check=True, capture_output=True)
    for key in made.glob("*-key.pem"):
        key.chmod(0o600)  # this version of Consul leaves them open to all
    https = free_port()
    block = (f'-hcl=tls {{ defaults {{ ca_file = "{made}/consul-agent-ca.pem" cert_file = "{made}/dc1-server-consul-0.pem" '
             f'key_file = "{made}/dc1-server-consul-0-key.pem" verify_incoming = true }} }}')  # fmt: skip
    node = start_dev(block, f"-https-port={https}")
    shown = [
        "--cacert",
        f"{made}/consul-agent-ca.pem",
        "--cert",
        f"{made}/dc1-cli-consul-0.pem",
        "--key",
        f"{made}/dc1-cli-consul-0-key.pem",
    ]
    url = f"https://{HOST}:{https}/v1/agent/self"
    subprocess.run(["curl", "-sS", "--fail", *shown, url], capture_output=True, check=True)
    assert subprocess.run(["curl", "-sS", *shown[:2], url], capture_output=True, check=False).returncode != 0
    node.assert_alive()
