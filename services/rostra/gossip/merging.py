"""Taking in what a peer knows (gossip-wire section 9.6), in steps: a push-pull of ten thousand members is a quarter of a second of work.

A row that is byte for byte our own says nothing new, so it is not even decoded: in a settled pool that is nearly every row.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Final

from rostra.gossip.membership import Membership
from rostra.gossip.serf import SerfLayer
from rostra.gossip.steps import GROUP, Steps
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import PushPull, Row, RowState, decode_row
from rostra.gossip.wire.serf_messages import serf_state_steps

_DECODING_COST: Final = 10
_TAKING_IN_COST: Final = 30

_KINDS_MAX: Final = 256
"""Different versions in one push-pull. Real pools have a handful."""


def size(remote: PushPull) -> int:
    """What it keeps in memory while it waits to be taken in."""
    return sum(map(len, remote.rows)) + len(remote.user_state)


def merge(remote: PushPull, membership: Membership, serf: SerfLayer, refused: Counter[Reason], *, ignore_old_events: bool) -> Steps[None]:
    """Raises ``WireError``, before anything has changed, when the two pools cannot live together."""
    now = yield 0
    news = yield from _news(remote, membership, refused)
    if remote.user_state:
        # Intents first: so that a member that is gone and had said goodbye is seen as left, without a moment as failed.
        try:
            state = yield from serf_state_steps(remote.user_state)
            yield from serf.merge(state, refused, ignore_old_events=ignore_old_events)
        except WireError as error:  # the rows are as good as ever
            refused[error.reason] += 1
    for row in news:
        now = yield _TAKING_IN_COST
        try:
            membership.on_row(row, now)
        except WireError as error:
            refused[error.reason] += 1


def _news(remote: PushPull, membership: Membership, refused: Counter[Reason]) -> Steps[list[Row]]:
    """The rows that may tell us something, once all have been found bearable."""
    news: list[Row] = []
    kinds: dict[tuple[bytes, RowState], Row] = {}
    rows = iter(remote.rows)
    while group := list(islice(rows, GROUP)):
        unknown = [row for row in group if not membership.knows(row)]
        for data in unknown:
            try:
                row = decode_row(data)
            except WireError as error:  # one member with an unreadable name must not keep all the others from us
                refused[error.reason] += 1
                continue
            if remote.join:
                membership.check_admitted(row)
            kinds.setdefault((row.versions, row.state), row)
            news.append(row)
        if len(kinds) > _KINDS_MAX:
            raise WireError(Reason.BAD_VERSIONS, "too many different ones")
        yield len(group) + _DECODING_COST * len(unknown)
    membership.check_versions(kinds.values())
    return news
