"""The same requests to a real Consul 1.8.7 and to our gateway: status, headers and bytes, after masking what differs by nature.

Differences that are kept on purpose are in ``KEPT``, each with its reason.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

if TYPE_CHECKING:
    from .conftest import Gateway, Response, Server

pytestmark = [pytest.mark.interop("consul"), pytest.mark.timeout(120)]

SETUP = [
    '{"Node":"a","Address":"1.1.1.1"}',
    '{"Node":"a","Address":"1.1.1.1","Service":{"Service":"web","Tags":["v1","Primary"],"Port":80}}',
    '{"Node":"a","Address":"1.1.1.1","Check":{"Name":"disk","Status":"warning","Output":"95%","Notes":"look <here>"}}',
    '{"Node":"a","Address":"1.1.1.1","Checks":[{"Name":"y","ServiceID":"web","Status":"passing","Definition":'
    '{"HTTP":"http://x","Interval":"10s","Timeout":"1500ms","Header":{"A":["b"]},"TLSSkipVerify":true,"Method":"GET",'
    '"DeregisterCriticalServiceAfter":"90m"}}]}',
    '{"Node":"c","Address":"2.2.2.2","NodeMeta":{"rack":"7","zone":"<b>&"},"TaggedAddresses":{"lan":"2.2.2.2"},"Service":{"ID":"db1",'
    '"Service":"db","Tags":["z","a"],"Address":"3.3.3.3","Port":99,"Meta":{"k":"v"},"TaggedAddresses":{"lan":{"Address":"1.2.3.4","Port":8}},'
    '"Weights":{"Passing":3,"Warning":2},"EnableTagOverride":true}}',
    '{"Node":"c","Address":"2.2.2.2","NodeMeta":{"rack":"7","zone":"<b>&"},"TaggedAddresses":{"lan":"2.2.2.2"},'
    '"Service":{"Service":"web","Port":81},"Check":{"CheckID":"c1","Name":"c","ServiceID":"web"}}',
    '{"Node":"e","Address":"host.example","Service":{"Service":"two words","Port":1}}',
    '{"Node":"nulls","Address":"5.5.5.5","NodeMeta":{"a":null},"TaggedAddresses":{"lan":null},"Service":{"Service":"nulls","Tags":[null,"x"],'
    '"Meta":{"k":null},"TaggedAddresses":{"lan":null}},"Checks":[{"Name":"s","Definition":{"ScriptArgs":["a","b"],"Shell":"sh","Body":"x",'
    '"DockerContainerID":"d","OutputMaxSize":9,"TTL":"10s","Header":{"B":[null]},"Interval":"1h"}}]}',
    '{"Node":"Ünï 世界","Address":"6.6.6.6","Service":{"Service":"sérvice","ID":"a/b c?d","Tags":["","ü","\\u2028<&>"],'
    '"Meta":{"k":"\\u2029"}}}',
]  # fmt: skip

READS = [
    "/v1/catalog/nodes", "/v1/catalog/nodes?stale", "/v1/catalog/nodes?consistent", "/v1/catalog/nodes?leader", "/v1/catalog/nodes?pretty",
    "/v1/catalog/nodes?node-meta=rack:7", "/v1/catalog/nodes?node-meta=rack:7&node-meta=zone:x", "/v1/catalog/nodes?node-meta=rack",
    "/v1/catalog/nodes?near=nobody", "/v1/catalog/nodes?dc=dc1", "/v1/catalog/nodes?index=1", "/v1/catalog/nodes?index=0&wait=10s",
    "/v1/catalog/nodes?index=&wait=", "/v1/catalog/nodes?max_stale=1s&stale", "/v1/catalog/nodes?unknown=parameter",
    "/v1/catalog/nodes?ns=x", "/v1/catalog/service/web?ns=",
    "/v1/catalog/services", "/v1/catalog/services?node-meta=rack:7", "/v1/catalog/services?node-meta=rack:8", "/v1/catalog/datacenters",
    "/v1/catalog/service/web", "/v1/catalog/service/db", "/v1/catalog/service/none", "/v1/catalog/service/web?tag=v1",
    "/v1/catalog/service/web?tag=primary&tag=v1", "/v1/catalog/service/web?tag=v1&tag=no", "/v1/catalog/service/two%20words",
    "/v1/catalog/service/web?node-meta=rack:7", "/v1/catalog/service/consul", "/v1/catalog/service/WEB", "/v1/health/service/Web",
    "/v1/catalog/node/a", "/v1/catalog/node/A", "/v1/catalog/node/c", "/v1/catalog/node/n1", "/v1/catalog/node/none",
    "/v1/catalog/node-services/a", "/v1/catalog/node-services/c", "/v1/catalog/node-services/none",
    "/v1/health/node/a", "/v1/health/node/c", "/v1/health/node/n1", "/v1/health/node/none", "/v1/health/node/C",
    "/v1/health/checks/web", "/v1/health/checks/consul", "/v1/health/checks/none", "/v1/health/checks/web?node-meta=rack:7",
    "/v1/health/service/web", "/v1/health/service/web?passing", "/v1/health/service/web?passing=1", "/v1/health/service/web?passing=false",
    "/v1/health/service/web?tag=v1", "/v1/health/service/web?tag=V1&passing", "/v1/health/service/db", "/v1/health/service/db?passing",
    "/v1/health/service/none", "/v1/health/service/consul", "/v1/health/service/web?node-meta=rack:7",
    "/v1/health/state/any", "/v1/health/state/passing", "/v1/health/state/warning", "/v1/health/state/critical", "/v1/health/state/odd",
    "/v1/health/state/any?node-meta=rack:7",
    "/v1/agent/services", "/v1/agent/checks",
    "/v1/catalog/node/nulls", "/v1/catalog/service/nulls", "/v1/health/service/nulls", "/v1/health/node/nulls",
    "/v1/catalog/node-services/nulls",
    "/v1/catalog/node/%C3%9Cn%C3%AF%20%E4%B8%96%E7%95%8C", "/v1/health/service/s%C3%A9rvice", "/v1/catalog/service/S%C3%89RVICE",
    "/v1/catalog/nodes?stale=false", "/v1/catalog/nodes?consistent=false", "/v1/catalog/nodes?leader&stale", "/v1/catalog/nodes?STALE",
    "/v1/catalog/nodes?st%61le", "/v1/catalog/nodes?index=1&index=abc", "/v1/catalog/nodes?wait=1ms&wait=abc", "/v1/catalog/nodes?wait=-1s",
    "/v1/catalog/nodes?wait=.5s", "/v1/catalog/nodes?wait=1%C2%B5s", "/v1/catalog/nodes?index=18446744073709551615&wait=1ms",
    "/v1/catalog/nodes?node-meta=rack:", "/v1/catalog/nodes?node-meta=:7", "/v1/catalog/nodes?node-meta=rack:7:8",
    "/v1/catalog/nodes?node-meta=zone:%3Cb%3E%26", "/v1/catalog/nodes?dc=dc1&dc=nope", "/v1/catalog/nodes?near=_ip",
    "/v1/catalog/nodes?&=&&",
    "/v1/health/service/web?passing=false&passing=true", "/v1/health/service/web?passing=T", "/v1/health/service/web?tag=",
    "/v1/catalog/service/a%2F%2Fb",
    "/v1/catalog/service/web%2F", "/v1/catalog/service/a+b", "/v1/catalog/service/%20", "/v1/health/state/ANY", "/v1/health/state/any/",
    "/v1/catalog/service/%77eb", "/v1/catalog/service/a;b=c",
]  # fmt: skip

REFUSED = [
    "/v1/catalog/nodes?stale&consistent", "/v1/catalog/nodes?cached&consistent", "/v1/catalog/nodes?index=x", "/v1/catalog/nodes?index=-1",
    "/v1/catalog/nodes?index=99999999999999999999999", "/v1/catalog/nodes?wait=3", "/v1/catalog/nodes?wait=1d",
    "/v1/catalog/nodes?wait=1%20s",
    "/v1/catalog/nodes?max_stale=3", "/v1/catalog/nodes?dc=elsewhere", "/v1/health/service/web?dc=elsewhere",
    "/v1/health/service/web?passing=maybe", "/v1/status/leader?stale&consistent", "/v1/status/leader?dc=elsewhere",
    "/v1/catalog/service/", "/v1/catalog/node/", "/v1/catalog/node-services/", "/v1/health/node/", "/v1/health/checks/",
    "/v1/health/service/", "/v1/health/state/",
    "/v1/catalog/service", "/v1/catalog/node", "/v1/health/state", "/v1/agent/check/pass", "//v1/catalog/nodes", "/v1/./catalog/nodes",
    "/v1/catalog/x/../nodes?a=b&c=%22", "/v1/catalog//service//web",
    "/v1", "/v1/", "/v1/nope", "/nope", "/v1/catalog/nodes/", "/v1/catalog/register/", "/V1/catalog/nodes",
    "/v1/catalog/services?ns=x", "/v1/health/service/web?ns=default", "/v1/agent/services?ns=x", "/v1/agent/checks?ns=x",
    "/v1/agent/service/web?ns=x", "/v1/agent/health/service/id/web?ns=x", "/v1/catalog/datacenters?ns=x",
    "/v1/acl/tokens", "/v1/acl/token/self", "/v1/acl/policies", "/v1/acl/info/x",
    "/v1/agent/members?segment=x",
    "/v1/catalog/nodes?index=0x1", "/v1/catalog/nodes?index=1.5", "/v1/catalog/nodes?index=abc&index=1",
    "/v1/catalog/nodes?wait=9999999999h",
    "/v1/catalog/nodes?wait=1h1", "/v1/catalog/nodes?wait=abc&wait=1ms", "/v1/catalog/nodes?stale=false&consistent=false",
    "/v1/health/service/web?passing=tRUE", "/v1/health/service/web?passing=yes", "/v1/catalog/nodes?dc=%20dc1",
    "/v1/coordinate/nodes?index=abc", "/v1/coordinate/node/n1?wait=1", "/v1/coordinate/nodes?stale&consistent",
    "/v1/operator/raft/configuration?index=abc", "/v1/operator/autopilot/health?wait=1", "/v1/operator/autopilot/configuration?index=-1",
]  # fmt: skip

METHODS = [
    ("PUT", "/v1/catalog/nodes"), ("DELETE", "/v1/catalog/register"), ("GET", "/v1/catalog/register"), ("PATCH", "/v1/catalog/nodes"),
    ("HEAD", "/v1/catalog/nodes"), ("HEAD", "/v1/status/leader"), ("POST", "/v1/health/service/web"), ("GET", "/v1/agent/leave"),
    ("OPTIONS", "/v1/catalog/nodes"), ("OPTIONS", "/v1/catalog/register"), ("OPTIONS", "/v1/nope"), ("OPTIONS", "/v1/agent/check/pass/x"),
    ("PUT", "/v1/catalog/service"), ("OPTIONS", "/v1/operator/keyring"), ("TRACE", "/v1/catalog/register"), ("PUT",
    "//v1/catalog/register"),
    ("POST", "/v1/agent/self"), ("PUT", "/v1/agent/members"), ("GET", "/v1/agent/maintenance"), ("DELETE", "/v1/agent/services"),
]  # fmt: skip

WRITES = [
    ("/v1/catalog/register", ""), ("/v1/catalog/register", "{"), ("/v1/catalog/register", '{"Foo":1}'),
    ("/v1/catalog/register", '{"Node":"x","Address":"1.1.1.1","Service":{"Foo":1}}'),
    ("/v1/catalog/register", '{"Node":"x","Address":"1.1.1.1","Checks":[{"Foo":1}]}'),
    ("/v1/catalog/register", '{"Node":"x","Address":"1.1.1.1","Datacenter":"elsewhere"}'),
    ("/v1/catalog/register", '{"node":"x","ADDRESS":"1.1.1.1","Service":null,"NodeMeta":null}'),
    ("/v1/catalog/deregister", ""), ("/v1/catalog/deregister", "{"), ("/v1/catalog/deregister", '{"Foo":1}'),
    ("/v1/catalog/deregister", '{"Node":"x","ServiceID":"nope"}'), ("/v1/catalog/deregister", '{"Node":"x","CheckID":"nope"}'),
    ("/v1/catalog/deregister", '{"Node":"x"}'), ("/v1/catalog/deregister", '{"Node":"x","Token":"t"}'),
    ("/v1/catalog/register", '{"Node":"x","Address":"1.1.1.1","Token":"t"}'),
    ("/v1/catalog/deregister", '{"Node":"x","Datacenter":"elsewhere"}'),
    ("/v1/agent/service/register", ""), ("/v1/agent/service/register", "{}"), ("/v1/agent/service/register", '{"Name":"w","Foo":1}'),
    ("/v1/agent/service/register", '{"Name":"w","Check":{"TTL":"abc"}}'), ("/v1/agent/service/register", '{"Name":"w","Check":{"Foo":1}}'),
    ("/v1/agent/service/register", '{"Name":"w","Check":{"TTL":"9s","Status":"odd"}}'),
    ("/v1/agent/service/register", '{"Name":"w","Weights":{"Passing":0}}'),
    *(("/v1/agent/service/register", '{"Name":"w","Meta":' + meta + "}") for meta in ('{"":"v"}', '{"a b":"v"}', '{"consul-a":"v"}')),
    *(("/v1/agent/service/register", '{"Name":"w","Weights":' + weights + "}")
      for weights in ('{"Passing":-1}', '{"Passing":70000}', '{"Passing":1,"Warning":70000}', '{"Passing":1,"Warning":-1}')),
    ("/v1/agent/check/register", '{"Name":"c","TTL":"9s","Status":"PASSING"}'),
    ("/v1/agent/check/register", ""), ("/v1/agent/check/register", "{}"), ("/v1/agent/check/register", '{"Name":"c","Foo":1}'),
    ("/v1/agent/service/deregister/nope", ""), ("/v1/agent/check/deregister/nope", ""),
    ("/v1/agent/check/update/nope", '{"Status":"odd"}'), ("/v1/agent/check/update/nope", '{"Foo":1}'),
    ("/v1/agent/service/register?ns=x", '{"Name":"w"}'), ("/v1/catalog/register?ns=x", '{"Node":"x","Address":"1.1.1.1"}'),
    ("/v1/agent/check/pass/nope?ns=x", ""), ("/v1/agent/service/maintenance/nope?enable=true&ns=x", ""),
    ("/v1/agent/maintenance", ""), ("/v1/agent/maintenance?enable=foo", ""), ("/v1/agent/service/maintenance/nope", ""),
    ("/v1/agent/service/maintenance/nope?enable=true", ""), ("/v1/agent/service/maintenance/?enable=true", ""),
    ("/v1/agent/force-leave/nope", ""), ("/v1/agent/force-leave/nope?prune", ""),
]  # fmt: skip

GET = "GET /v1/catalog/nodes HTTP/1.1\r\nHost: x\r\n"
PUT = "PUT /v1/catalog/deregister HTTP/1.1\r\nHost: x\r\n"
BODY = '{"Node":"nobody"}'
CHUNKS = f"{len(BODY):x};a=b\r\n{BODY}\r\n0\r\nX-Trailer: a\r\n\r\n"
HEADS = [
    f"{GET}\r\n", f"{GET}Connection: close\r\n\r\n", f"{GET}Connection: foo, Close\r\n\r\n", f"{GET}\r\n{GET}\r\n",
    "GET /v1/catalog/nodes HTTP/1.0\r\n\r\n", "GET /v1/status/leader HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
    "GET /v1/catalog/nodes HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2,
    f"PUT /v1/catalog/deregister HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}{GET}\r\n",
    f"{GET}Expect: 100-continue\r\n\r\n", f"{GET}Expect: foo\r\n\r\n", f"{GET}Expect: \r\n\r\n",
    f"{PUT}Expect: foo\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
    f"{PUT}Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
    f"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n{GET}\r\n", "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET http://elsewhere:99/v1/catalog/nodes?stale HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET http://x/v1/catalog/nodes HTTP/1.1\r\n\r\n",
    "GET /v1/catalog/nodes HTTP/1.1\r\n\r\n", f"{GET}Host: x\r\n\r\n", "GET /v1/catalog/nodes HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET /v1/catalog/nodes HTTP/2.0\r\nHost: x\r\n\r\n", "GET /v1/catalog/nodes%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    f"TRACE {GET[4:]}\r\n", f"HEAD {GET[4:]}\r\n", f"GET /v1/catalog/nodes?x={'a' * 30000} HTTP/1.1\r\nHost: x\r\n\r\n",
    f"{PUT}Content-Length: 000{len(BODY)}\r\n\r\n{BODY}{GET}\r\n", f"{PUT}Content-Length: {len(BODY)}, {len(BODY)}\r\n\r\n{BODY}",
    f"{PUT}Content-Length: {len(BODY)}\r\nContent-Length: 3\r\n\r\n{BODY}", f"{PUT}Content-Length: +3\r\n\r\n{BODY}",
    f"{PUT}Transfer-Encoding: Chunked\r\n\r\n{CHUNKS}{GET}\r\n", f"{PUT}Transfer-Encoding: gzip, chunked\r\n\r\n{CHUNKS}{GET}\r\n",
    f"{PUT}Transfer-Encoding : chunked\r\n\r\n{CHUNKS}", f"{GET}X: a\x01\r\n\r\n", f"{GET}X: a\rb\r\n\r\n", f"{GET}abc\r\n\r\n",
    f"{GET}X-Consul-Namespace: foo\r\n\r\n", "GET /v1/catalog/services HTTP/1.1\r\nHost: x\r\nX-Consul-Namespace: foo\r\n\r\n",
    f"{PUT}X-Consul-Namespace: foo\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}{GET}\r\n",
    "GET /v1/agent/service/x?ns=y HTTP/1.1\r\nHost: x\r\nX-Consul-Namespace: foo\r\n\r\n",
]  # fmt: skip
STRICTER = [
    "GET /v1/catalog/nodes HTTP/1.1\nHost: x\n\n", f"{GET}X: a\r\n b\r\n\r\n", f"{GET}: b\r\n\r\n",
    f"{PUT}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}",
    f"{PUT}Content-Length: {len(BODY)}\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
    f"{PUT}Transfer-Encoding: chunked\r\n\r\n{len(BODY):x}\n{BODY}\n0\n\n",
    f"{PUT}Transfer-Encoding: chunked\r\n\r\n{len(BODY):x} \r\n{BODY}\r\n0\r\n\r\n",
    "GET /v1/catalog/nodes?x=\xe9 HTTP/1.1\r\nHost: x\r\n\r\n", "BREW /v1/catalog/nodes HTTP/1.1\r\nHost: x\r\n\r\n",
]  # fmt: skip
"""Answered by Consul, and 400 here: what the RFCs let a server refuse, or want it to."""

KEPT = [
    ("PUT", "/v1/catalog/register", "{}", 500, 400, "what the caller did wrong is 400, with the same text"),
    ("PUT", "/v1/catalog/register", '{"Node":"x"}', 500, 400, "the same"),
    ("PUT", "/v1/catalog/register", '{"Node":"x","Address":"a","ID":"bad"}', 500, 400, "the same"),
    ("PUT", "/v1/catalog/register", '{"Node":"x","Address":"a","Service":{"ID":"x"}}', 500, 400, "the same"),
    ("PUT", "/v1/catalog/deregister", "{}", 500, 400, "the same"),
    ("PUT", "/v1/agent/service/deregister/", "", 500, 400, "the same"),
    ("PUT", "/v1/agent/check/deregister/", "", 500, 400, "the same"),
    ("PUT", "/v1/agent/check/pass/nope", "", 500, 404, "a check that is not there is not our failure; the same text"),
]

FILTERS = {
    "/v1/catalog/nodes": [
        "Node == a", "Node != a", 'Node in "ac"', '"a" in Node', "Meta.rack == 7", "Meta.rack != 7", "Meta is empty", "rack in Meta",
        "Meta not contains rack", "Node matches `^[ac]$`", "Node not matches a", "Datacenter == dc1", "not Node == a and not Node == c",
        "Node == a or Node == c and Meta.rack == 8", "(Node == a or Node == c) and Meta.rack == 7", "TaggedAddresses.lan == `2.2.2.2`",
        "Foo == a", "Node", "(", "Node == a-b", "Meta == x", "Node is empty", "Node matches `(`", "Meta.a.b == c", "", " ",
        "Node == 1", "CreateIndex == 1", "NOT Node == a",
        "Node matches `[[:alpha:]]`", "Node matches `^[[:^alpha:]_]`", "Node matches `^[^[:upper:]]+$`", "Node matches `(?i)[[:upper:]]`",
        "Node matches `[[:nope:]]`", "Node matches `(?=a)`", "Node matches `a{1,2}`", "Node==a", "Node\n==\ta", "Node === a", "Node<>a",
        "Node == 01", "Node == 1e5", "Node == not", 'Node == "\\q"', "not not Node == a", "Node not == a", "Meta.rack is empty",
        'Meta["rack"] == 7', "Meta[`rack`] == 7", "Meta isnot empty", "Meta is Empty", "node == a", "Node in Node",
        "lan in TaggedAddresses",
        "Node == ''", "Meta[rack] == 7", 'Node == "\\u0061"', "Node == `a`", "Meta contains zone",
    ],
    "/v1/health/service/web": [
        "Checks.Status == warning", "Checks.Status != warning", "not Checks.Status == warning", "Checks is empty", "Checks is not empty",
        "Service.Port == 80", 'Service.Port == "80"', "Service.Port == x", "Service.EnableTagOverride == false", "Service.Tags contains v1",
        "Service.Tags is empty", "Service.Tags == a", "Node.Node == a", "Node == a", "Node.Meta.rack == 7",
        "Checks.ServiceTags contains v1",
        "Service.Connect.Native == false", "Service.Connect.Native == true", "Service.Connect is empty", "Service.Proxy == x",
        "Service.Proxy.DestinationServiceName == x", "Service.Proxy.LocalServicePort == 0", "Service.Proxy.MeshGateway.Mode == ``",
        "Service.Proxy.Upstreams is empty", "Service.Proxy.Upstreams.DestinationName == x", "Service.Proxy.Expose.Checks == false",
        "Service.Proxy.Expose.Paths is empty", "Service.Proxy.Mode == ``", "Service.Port == 0x50", "Service.Port == 080",
        "Service.Port == +80",
        "Service.Port == 99999999999999999999", "Service.EnableTagOverride == yes", "Service.EnableTagOverride != T", "v1 in Service.Tags",
        "Service.Tags matches v", "Checks.Status is empty", "Checks[0].Status == warning", "Checks contains x", "Service == web",
        "Checks.Name matches `^d`", "Checks.Name not matches `^d`", "Service.Weights.Passing == 1",
    ],
    "/v1/catalog/service/db": [
        "ServiceTags contains a", "ServicePort == 99", "ServiceMeta.k == v", "NodeMeta.rack == 7", "ServiceTaggedAddresses.lan.Port == 8",
        "ServiceConnect.Native == false", "ServiceProxy.DestinationServiceName == ``", "ServiceProxyDestination == ``",
        "ServiceTaggedAddresses.nope.Port == 0", "ServiceTaggedAddresses contains lan", "ServiceWeights.Passing == 3",
        "ServiceEnableTagOverride == true", "ServiceID == db1", "ServiceTags not contains a",
    ],
    "/v1/health/state/any": ["Status == passing", "Name == disk", "ServiceName == web", "Output == ``", "Type == http", "Node == a"],
}  # fmt: skip
"""Consul's regular expressions find a pattern in a key that is not there, and ours do not: such a filter is not among them."""

INDEXES = re.compile(rb'("(?:Create|Modify)Index": )\d+')
COMPARED = (
    *("content-type", "vary", "allow", "location", "x-consul-effective-consistency", "x-consul-knownleader", "x-consul-lastcontact"),
    *("x-cache", "retry-after", "content-encoding"),
)


@pytest.fixture(scope="module", autouse=True)
def _setup(consul: Server, gateway: Gateway) -> None:
    for body in SETUP:
        for server in (consul, gateway.server):
            answer = server.ask("PUT", "/v1/catalog/register", body)
            assert (answer.status, answer.body.strip()) == (200, b"true"), answer


def masked(response: Response) -> tuple[int, dict[str, str | None], bytes]:
    """What is compared."""
    headers = {name: response.headers.get(name) for name in COMPARED}
    if response.status >= 400 or not response.body:
        headers["vary"] = None  # ours varies by encoding always, and says so
    return response.status, headers, INDEXES.sub(rb"\g<1>0", response.body)


@pytest.mark.parametrize("target", READS)
def test_reads_are_the_same_bytes(consul: Server, gateway: Gateway, target: str) -> None:
    theirs, ours = consul.ask("GET", target), gateway.server.ask("GET", target)
    if target.startswith("/v1/catalog/services"):  # Consul's tags come in any order, ours sorted
        assert json.loads(ours.body) == {name: sorted(tags) for name, tags in json.loads(theirs.body).items()}
    else:
        assert masked(ours) == masked(theirs)
    assert ("x-consul-index" in ours.headers) == ("x-consul-index" in theirs.headers)


@pytest.mark.parametrize("target", REFUSED)
def test_refusals_are_the_same(consul: Server, gateway: Gateway, target: str) -> None:
    assert masked(gateway.server.ask("GET", target)) == masked(consul.ask("GET", target))


@pytest.mark.parametrize(("method", "target"), METHODS)
def test_methods_are_the_same(consul: Server, gateway: Gateway, method: str, target: str) -> None:
    assert masked(gateway.server.ask(method, target)) == masked(consul.ask(method, target))


@pytest.mark.parametrize("request_bytes", HEADS)
def test_heads_are_understood_the_same(consul: Server, gateway: Gateway, request_bytes: str) -> None:
    """The statuses that come, and whether the connection stays."""
    assert gateway.server.say(request_bytes.encode("latin-1")) == consul.say(request_bytes.encode("latin-1"))


@pytest.mark.parametrize("request_bytes", STRICTER)
def test_heads_that_could_be_read_in_two_ways_are_refused_here(consul: Server, gateway: Gateway, request_bytes: str) -> None:
    assert gateway.server.say(request_bytes.encode("latin-1")) == ([400], False)
    assert consul.say(request_bytes.encode("latin-1"))[0] in ([200], [405])


@pytest.mark.parametrize(("target", "body"), WRITES)
def test_writes_are_answered_the_same(consul: Server, gateway: Gateway, target: str, body: str) -> None:
    assert masked(gateway.server.ask("PUT", target, body)) == masked(consul.ask("PUT", target, body))


@pytest.mark.parametrize(("method", "target", "body", "theirs", "ours", "reason"), KEPT)
def test_kept_differences_are_those_and_only_in_the_status(
    consul: Server, gateway: Gateway, method: str, target: str, body: str, theirs: int, ours: int, reason: str
) -> None:
    real, mine = consul.ask(method, target, body), gateway.server.ask(method, target, body)
    assert (real.status, mine.status) == (theirs, ours), reason
    assert mine.body == real.body


@pytest.mark.parametrize(("target", "text"), [(target, text) for target, texts in FILTERS.items() for text in texts])
def test_filters_select_the_same_and_refuse_the_same(consul: Server, gateway: Gateway, target: str, text: str) -> None:
    query = f"{target}?{urlencode({'filter': text})}"
    theirs, ours = consul.ask("GET", query), gateway.server.ask("GET", query)
    if theirs.status == 500:
        assert ours.status == 400
        assert ours.body.startswith(b"Failed to create boolean expression evaluator: ")
        return
    assert masked(ours) == masked(theirs)


def test_every_acl_path_says_that_there_is_no_acl_even_one_that_consul_has_not(consul: Server, gateway: Gateway) -> None:
    assert (consul.ask("GET", "/v1/acl/nope").status, gateway.server.ask("GET", "/v1/acl/nope").status) == (404, 401)


def test_members_have_the_same_fields_in_the_same_order(consul: Server, gateway: Gateway) -> None:
    theirs = json.loads(consul.ask("GET", "/v1/agent/members").body)
    ours = json.loads(gateway.server.ask("GET", "/v1/agent/members").body)
    assert list(ours[0]) == list(theirs[0])
    assert ours[0]["Tags"]["role"] == theirs[0]["Tags"]["role"] == "consul"
    assert {name: ours[0][name] for name in list(ours[0])[4:]} == {name: theirs[0][name] for name in list(theirs[0])[4:]}


def test_self_has_the_same_parts(consul: Server, gateway: Gateway) -> None:
    theirs = json.loads(consul.ask("GET", "/v1/agent/self").body)
    ours = json.loads(gateway.server.ask("GET", "/v1/agent/self").body)
    assert list(ours) == [part for part in theirs if part != "xDS"]
    assert set(ours["Config"]) == set(theirs["Config"])
    assert set(ours["Coord"]) == set(theirs["Coord"])
    assert set(ours["Member"]) == set(theirs["Member"])


def test_metrics_have_the_same_parts(consul: Server, gateway: Gateway) -> None:
    theirs = json.loads(consul.ask("GET", "/v1/agent/metrics").body)
    ours = json.loads(gateway.server.ask("GET", "/v1/agent/metrics").body)
    assert list(ours) == list(theirs)
    for part in ("Gauges", "Counters", "Samples"):
        assert {tuple(each) for each in ours[part]} <= {tuple(each) for each in theirs[part]}, part


def test_the_real_cli_reads_ours(gateway: Gateway) -> None:
    address = f"{gateway.server.host}:{gateway.server.port}"
    for command, word in ((["members"], "n1"), (["catalog", "nodes"], "host.example"), (["catalog", "services"], "web")):
        run = subprocess.run(["consul", *command, f"-http-addr={address}"], capture_output=True, text=True, timeout=20, check=False)
        assert run.returncode == 0, run.stderr
        assert word in run.stdout
