"""Finds the instances of a service by DNS: SRV gives the ports, the addresses come beside it.

python dns_lookup.py SERVICE [HOST:PORT]
"""

import sys

import dns.message
import dns.query
import dns.rdatatype
from dns.rdtypes.IN.SRV import SRV


def main(service: str, address: str) -> None:
    host, _, port = address.rpartition(":")
    question = dns.message.make_query(f"{service}.service.consul", "SRV")
    answer = dns.query.udp(question, host, port=int(port), timeout=5)
    places = {rrset.name: rrset[0].to_text() for rrset in answer.additional if rrset.rdtype == dns.rdatatype.A}
    for rrset in answer.answer:
        for record in rrset:
            assert isinstance(record, SRV)
            print(f"{service} at {places.get(record.target, record.target)}:{record.port}")
    if not answer.answer:
        print(f"no instance of {service}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:8600")
