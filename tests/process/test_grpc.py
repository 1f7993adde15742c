"""The public gRPC door on a node in one process and in six: a plain grpcio client, and one that knows nothing but reflection."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import dns.message
import dns.rdatatype
import grpc
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from rostra.v1 import agent_pb2, agent_pb2_grpc, catalog_pb2, catalog_pb2_grpc, dns_pb2, dns_pb2_grpc, gossip_pb2, gossip_pb2_grpc
from rostra.v1.common_pb2 import CONSISTENCY_CONSISTENT, CONSISTENCY_STALE, Hello, ReadOptions

from .harness.deployment import HOST, Deployment
from .harness.waiting import eventually

pytestmark = pytest.mark.process

LIMIT_S = 30.0
PUBLIC = {f"rostra.v1.{name}Service" for name in ("Catalog", "CatalogStream", "Agent", "Dns", "Gossip")}


@pytest.fixture
def channel(node: Deployment) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(node.grpc_address) as channel:
        yield channel


def registration(name: str, address: str, service: str = "", port: int = 0) -> catalog_pb2.RegisterRequest:
    made = catalog_pb2.Registration(node=catalog_pb2.Node(name=name, address=address))
    if service:
        made.service.CopyFrom(catalog_pb2.Service(name=service, port=port))
    return catalog_pb2.RegisterRequest(registration=made)


def deregister(catalog: catalog_pb2_grpc.CatalogServiceStub, name: str) -> None:
    catalog.Deregister(catalog_pb2.DeregisterRequest(deregistration=catalog_pb2.Deregistration(node=name)), timeout=LIMIT_S)


def test_the_catalog_is_written_and_read(channel: grpc.Channel) -> None:
    catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
    written = catalog.Register(registration("grpc-1", "127.0.0.31", "queue", 5672), timeout=LIMIT_S)
    found = catalog.ListServiceInstances(catalog_pb2.ListServiceInstancesRequest(service="queue"), timeout=LIMIT_S)
    (instance,) = found.instances
    assert (instance.node.name, instance.service.port) == ("grpc-1", 5672)
    assert instance.service.modify_index == written.index == found.meta.index
    assert found.meta.known_leader
    deregister(catalog, "grpc-1")
    assert not catalog.ListServiceInstances(catalog_pb2.ListServiceInstancesRequest(service="queue"), timeout=LIMIT_S).instances


def test_every_consistency_gives_the_nodes(node: Deployment, channel: grpc.Channel) -> None:
    catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
    for options in (ReadOptions(), ReadOptions(consistency=CONSISTENCY_CONSISTENT), ReadOptions(consistency=CONSISTENCY_STALE)):
        found = catalog.ListNodes(catalog_pb2.ListNodesRequest(options=options), timeout=LIMIT_S)
        assert [each.name for each in found.nodes] == [node.node]
    assert list(catalog.ListDatacenters(catalog_pb2.ListDatacentersRequest(), timeout=LIMIT_S).datacenters) == ["dc1"]
    services = catalog.ListServices(catalog_pb2.ListServicesRequest(), timeout=LIMIT_S).services
    assert [each.name for each in services] == ["consul"]
    checks = catalog.ListChecks(catalog_pb2.ListChecksRequest(node=node.node), timeout=LIMIT_S).checks
    assert [(check.check_id, check.status) for check in checks] == [("serfHealth", catalog_pb2.HEALTH_STATUS_PASSING)]
    own = catalog.ListNodeServices(catalog_pb2.ListNodeServicesRequest(node=node.node), timeout=LIMIT_S)
    assert (own.node.address, [service.id for service in own.services]) == (HOST, ["consul"])


def test_reads_take_a_filter_and_refuse_one_that_is_wrong(node: Deployment, channel: grpc.Channel) -> None:
    catalog, agent = catalog_pb2_grpc.CatalogServiceStub(channel), agent_pb2_grpc.AgentServiceStub(channel)

    def nodes(expression: str) -> list[str]:
        options = ReadOptions(filter=expression)
        return [each.name for each in catalog.ListNodes(catalog_pb2.ListNodesRequest(options=options), timeout=LIMIT_S).nodes]

    assert nodes(f'Node == "{node.node}" and Datacenter == dc1') == [node.node]
    assert nodes(f'Node != "{node.node}"') == []
    with pytest.raises(grpc.RpcError) as refused:
        nodes("Nonsense == 1")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Nonsense" in str(refused.value.details())
    own = agent.ListLocalServices(agent_pb2.ListLocalServicesRequest(filter="Port == 1"), timeout=LIMIT_S)
    assert not own.services


def test_a_blocking_read_returns_when_its_answer_changes(channel: grpc.Channel) -> None:
    catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
    index = catalog.Register(registration("blocked", "127.0.0.31"), timeout=LIMIT_S).index
    options = ReadOptions(wait_index=index, wait_ms=20_000)
    waiting = catalog.ListNodeServices.future(catalog_pb2.ListNodeServicesRequest(node="blocked", options=options), timeout=LIMIT_S)
    catalog.Register(registration("blocked", "127.0.0.32"), timeout=LIMIT_S)
    assert waiting.result().node.address == "127.0.0.32"
    deregister(catalog, "blocked")


def test_a_refused_write_names_the_field(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        catalog_pb2_grpc.CatalogServiceStub(channel).Register(registration("", "127.0.0.1"), timeout=LIMIT_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "node" in str(refused.value.details()).lower()


def test_members_are_listed_and_watched(node: Deployment, channel: grpc.Channel) -> None:
    gossip = gossip_pb2_grpc.GossipServiceStub(channel)
    (member,) = gossip.ListMembers(gossip_pb2.ListMembersRequest(), timeout=LIMIT_S).members
    assert (member.name, member.port, member.tags["role"]) == (node.node, node.ports.serf_lan, "rostra")
    hello = Hello(protocol_min=1, protocol_max=1, role="client")
    watch = gossip.WatchMembers(gossip_pb2.WatchMembersRequest(hello=hello, pool=gossip_pb2.POOL_WAN), timeout=LIMIT_S)
    assert next(watch).hello.node.name == node.node
    assert [each.name for each in next(watch).snapshot.members] == [f"{node.node}.dc1"]
    watch.cancel()


def test_what_only_the_role_door_may_do_is_not_served_here(channel: grpc.Channel) -> None:
    gossip = gossip_pb2_grpc.GossipServiceStub(channel)
    for method, request in (("SetTags", gossip_pb2.SetTagsRequest(set={"a": "b"})), ("Leave", gossip_pb2.LeaveRequest())):
        with pytest.raises(grpc.RpcError) as refused:
            getattr(gossip, method)(request, timeout=LIMIT_S)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_agent_says_who_it_is_and_runs_a_ttl_check(node: Deployment, channel: grpc.Channel) -> None:
    agent = agent_pb2_grpc.AgentServiceStub(channel)
    assert agent.GetSelf(agent_pb2.GetSelfRequest(), timeout=LIMIT_S).node.name == node.node
    check = agent_pb2.LocalCheck(definition=catalog_pb2.CheckDefinition(ttl_ms=30_000))
    service = catalog_pb2.Service(id="job-1", name="job")
    registered = agent.RegisterService(agent_pb2.RegisterServiceRequest(service=service, checks=[check]), timeout=LIMIT_S)
    assert (registered.service_id, list(registered.check_ids)) == ("job-1", ["service:job-1"])
    beat = agent_pb2.UpdateTtlRequest(check_id="service:job-1", status=catalog_pb2.HEALTH_STATUS_PASSING, output="ok")
    assert agent.UpdateTtl(beat, timeout=LIMIT_S).ttl_ms == 30_000
    eventually(lambda: node.api.get("/v1/health/service/job?passing").json(), 3.0, "the heartbeat is in the catalog")
    gone = agent.DeregisterService(agent_pb2.DeregisterServiceRequest(service_id="job-1"), timeout=LIMIT_S)
    assert list(gone.check_ids) == ["service:job-1"]
    eventually(lambda: node.api.get("/v1/catalog/service/job").json() == [], 3.0, "the service is gone")


def test_the_log_is_streamed(node: Deployment, channel: grpc.Channel) -> None:
    agent = agent_pb2_grpc.AgentServiceStub(channel)
    stream = agent.StreamLogs(agent_pb2.StreamLogsRequest(level="debug"), timeout=LIMIT_S)
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        try:
            for message in stream:
                lines.put(message.line)
        except grpc.RpcError:
            pass  # cancelled below

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def provoke() -> bool:
        """A service that comes makes the agent log; the stream may not have begun at the first try."""
        agent.RegisterService(agent_pb2.RegisterServiceRequest(service=catalog_pb2.Service(name="logged")), timeout=LIMIT_S)
        agent.DeregisterService(agent_pb2.DeregisterServiceRequest(service_id="logged"), timeout=LIMIT_S)
        return "logged" in "\n".join(lines.queue)

    eventually(provoke, 5.0, "a log line about it comes")
    stream.cancel()
    reader.join(LIMIT_S)


def test_dns_is_answered_over_grpc(node: Deployment, channel: grpc.Channel) -> None:
    question = dns.message.make_query(f"{node.node}.node.consul.", "A")
    request = dns_pb2.QueryRequest(message=question.to_wire(), transport=dns_pb2.DNS_TRANSPORT_TCP)
    answer = dns.message.from_wire(dns_pb2_grpc.DnsServiceStub(channel).Query(request, timeout=LIMIT_S).message)
    assert answer.id == question.id
    assert [item.to_text() for rrset in answer.answer for item in rrset] == [HOST]


def test_health_says_alive_and_for_each_service_ready(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", *sorted(PUBLIC)):
        said = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=LIMIT_S)
        assert said.status == health_pb2.HealthCheckResponse.SERVING, service
    with pytest.raises(grpc.RpcError) as unknown:
        health.Check(health_pb2.HealthCheckRequest(service="rostra.v1.NoSuchService"), timeout=LIMIT_S)
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_client_that_knows_only_reflection_lists_the_nodes(node: Deployment, channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) >= PUBLIC
    pool = DescriptorPool(database)
    method = pool.FindServiceByName("rostra.v1.CatalogService").FindMethodByName("ListNodes")
    request_class, answer_class = (message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type))
    ask: grpc.UnaryUnaryMultiCallable[Message, Message] = channel.unary_unary(
        "/rostra.v1.CatalogService/ListNodes",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer_class.FromString,
    )
    answer = ask(request_class(), timeout=LIMIT_S)
    assert [each["name"] for each in json_format.MessageToDict(answer)["nodes"]] == [node.node]


def test_what_is_not_public_is_not_reflected_either(channel: grpc.Channel) -> None:
    services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert "rostra.v1.ConsensusService" not in services
    assert "rostra.v1.RaftService" not in services
