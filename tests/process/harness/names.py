"""DNS as a program uses it, by dnspython."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from .pressure import stretched

LIMIT_S = 5.0


class Resolver:
    """Asks one DNS server."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def ask(
        self, name: str, kind: str = "A", *, tcp: bool = False, within_s: float = LIMIT_S, recursive: bool = False
    ) -> dns.message.Message:
        """The whole answer, whatever its code: to a question as a resolver in front of us asks it, or ``recursive``, as its client does."""
        question = dns.message.make_query(f"{name}.", kind, flags=dns.flags.RD if recursive else 0)
        query = dns.query.tcp if tcp else dns.query.udp
        return query(question, self.host, port=self.port, timeout=stretched(within_s))

    def addresses(self, name: str, kind: str = "A", *, tcp: bool = False, within_s: float = LIMIT_S, recursive: bool = False) -> list[str]:
        """Addresses in ANSWER, in order of text."""
        answer = self.ask(name, kind, tcp=tcp, within_s=within_s, recursive=recursive)
        wanted = dns.rdatatype.from_text(kind)
        return sorted(item.to_text() for rrset in answer.answer if rrset.rdtype == wanted for item in rrset)

    def code(self, name: str, kind: str = "A", *, tcp: bool = False, within_s: float = LIMIT_S, recursive: bool = False) -> str:
        """The response code, for example ``NXDOMAIN``."""
        return dns.rcode.to_text(self.ask(name, kind, tcp=tcp, within_s=within_s, recursive=recursive).rcode())
