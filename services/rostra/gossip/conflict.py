"""Two processes with one name: the pool votes which of them it knows (gossip-wire section 12.7)."""

from __future__ import annotations

from rostra.gossip.address import Address
from rostra.gossip.queries import Key
from rostra.gossip.wire.errors import WireError
from rostra.gossip.wire.serf_messages import ConflictResponse, decode_query_payload


class NameVote:
    """The answers to one conflict query. Without any answer it is lost, as a real Serf's is."""

    def __init__(self, key: Key, own_address: Address) -> None:
        self.key = key
        self.votes = 0
        self.responses = 0
        self._own_address = own_address

    def count(self, payload: bytes) -> None:
        self.responses += 1
        try:
            response = decode_query_payload(payload)
        except WireError:  # it knows nobody of that name
            return
        if isinstance(response, ConflictResponse) and Address(response.ip, response.port) == self._own_address:
            self.votes += 1

    @property
    def is_won(self) -> bool:
        return self.votes >= self.responses // 2 + 1
