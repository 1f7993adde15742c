"""Asks a DNS question over gRPC: no DNS port, no packet sizes, one connection for everything.

python dns_over_grpc.py NAME [HOST:PORT [TYPE]]
"""

import sys

import dns.message
import grpc

from rostra.v1.dns_pb2 import DNS_TRANSPORT_TCP, QueryRequest
from rostra.v1.dns_pb2_grpc import DnsServiceStub


def main(name: str, address: str, kind: str) -> None:
    question = dns.message.make_query(name, kind)
    with grpc.insecure_channel(address) as channel:
        request = QueryRequest(message=question.to_wire(), transport=DNS_TRANSPORT_TCP)
        answer = dns.message.from_wire(DnsServiceStub(channel).Query(request, timeout=10.0).message)
    print(answer.rcode().to_text(answer.rcode()))
    for record in answer.answer:
        print(record.to_text())


if __name__ == "__main__":
    defaults = ["consul.service.consul", "127.0.0.1:8502", "A"]
    main(*(sys.argv[1:] + defaults[len(sys.argv) - 1 :]))
