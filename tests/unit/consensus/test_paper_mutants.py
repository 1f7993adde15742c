"""Faults that need a rare order of events: the paper test that plays that order must fail on a core that has the fault."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from rostra.consensus.core import Core, Role
from rostra.consensus.model import ReadMode

from . import helpers, test_paper


class CommitsOldTerms(Core):
    """Commits entries of older terms by counting."""

    def _advance_commit(self, now: float) -> None:
        start, self._term_start_index = self._term_start_index, 0
        super()._advance_commit(now)
        self._term_start_index = start


class VotesAfterRestart(Core):
    """Forgets in a restart that it promised not to vote."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._promised_until = self._no_vote_until = -math.inf


class JoinsASentRound(Core):
    """Lets a read be confirmed by a round that was sent before it came."""

    def _read(self, context: Any, mode: ReadMode, now: float) -> None:
        if self.term_confirmed and self._reads._sent:
            self._reads._sent[-1][1].append((context, self.commit_index))
        else:
            super()._read(context, mode, now)


class ChangesBeforeOwnTerm(Core):
    """Changes the membership before an entry of its term is committed (the fault that Ongaro corrected in 2015)."""

    @property
    def term_confirmed(self) -> bool:
        return self.role is Role.LEADER


class SendsVotesAtOnce(Core):
    """Does not wait for the disk."""

    def _send_when_durable(self, message: Any) -> None:
        self._release(message, 0.0)


class LeaseFromReceipt(Core):
    """Counts promises from the wrong end."""

    def _handle_append_response(self, response: Any, now: float) -> None:
        self._send_times.sent(response.round, now)
        super()._handle_append_response(response, now)


@pytest.mark.parametrize(
    ("core", "test"),
    [
        (CommitsOldTerms, test_paper.test_3_6_2_figure_3_7_an_entry_of_an_older_term_is_not_committed_by_counting),
        (VotesAfterRestart, test_paper.test_6_4_1_a_restarted_server_grants_no_vote_for_the_longest_time_it_may_have_promised),
        (JoinsASentRound, test_paper.test_6_4_a_quorum_read_waits_for_a_round_that_was_sent_after_it_came),
        (ChangesBeforeOwnTerm, test_paper.test_4_1_no_change_before_an_entry_of_the_own_term_is_committed),
        (SendsVotesAtOnce, test_paper.test_3_8_a_vote_is_not_sent_before_it_is_on_disk),
        (LeaseFromReceipt, test_paper.test_6_4_1_the_lease_runs_from_the_send_time_for_nine_tenths_of_the_promise),
    ],
    ids=lambda value: value.__name__,
)
def test_the_fault_is_found(core: type[Core], test: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    test()
    monkeypatch.setattr(helpers, "Core", core)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test()
