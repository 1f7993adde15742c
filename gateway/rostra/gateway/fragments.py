"""Encoded pieces of answers, one per entry of a view: kept by the view until the entry changes (docs/architecture.md, "A read")."""

from __future__ import annotations

from dataclasses import dataclass

from rostra.gateway.encoding import encode_json
from rostra.gateway.records import InstanceRecord, catalog_service_record, check_record, node_record, service_record
from rostra.model.catalog import Check, Node, Service, ServiceInstance, ServiceSummary
from rostra.model.topics import Entry


@dataclass(frozen=True, slots=True)
class Fragments:
    """The renderers of one datacenter. Two of the same datacenter are equal, and so share what a view keeps."""

    datacenter: str

    def node(self, entry: Entry) -> bytes:
        """A node of ``nodes`` or of ``node:NAME``."""
        assert isinstance(entry.value, Node)
        return encode_json(node_record(entry.value, self.datacenter))

    def catalog_service(self, entry: Entry) -> bytes:
        """An instance of ``service:NAME``, as the catalog shows it."""
        assert isinstance(entry.value, ServiceInstance)
        return encode_json(catalog_service_record(entry.value.node, entry.value.service, self.datacenter))

    def instance(self, entry: Entry) -> bytes:
        """An instance of ``service:NAME`` with its checks, as health shows it."""
        assert isinstance(entry.value, ServiceInstance)
        record = InstanceRecord(
            node_record(entry.value.node, self.datacenter),
            service_record(entry.value.service),
            [check_record(check) for check in entry.value.checks],
        )
        return encode_json(record)


def summary(entry: Entry) -> bytes:
    """A service of ``services``: the name with its tags, as a member of a JSON object."""
    assert isinstance(entry.value, ServiceSummary)
    return encode_json(entry.value.name) + b":" + encode_json(entry.value.tags)


def node_service(entry: Entry) -> bytes:
    """A service of ``node:NAME``; nothing for the node's other entries."""
    return encode_json(service_record(entry.value)) if isinstance(entry.value, Service) else b""


def check(entry: Entry) -> bytes:
    """A check of ``checks:STATE`` or of ``node:NAME``; nothing for the node's other entries."""
    return encode_json(check_record(entry.value)) if isinstance(entry.value, Check) else b""


def instance_checks(entry: Entry) -> tuple[tuple[Check, bytes], ...]:
    """The checks of an instance of ``service:NAME`` that are its own, not its node's, each with its encoding."""
    assert isinstance(entry.value, ServiceInstance)
    return tuple((own, encode_json(check_record(own))) for own in entry.value.checks if own.service_id)
