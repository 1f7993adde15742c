"""What may be answered from: whether this process ever knew all there is, whether old views will do, and since when they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rostra.dns.settings import TEN_YEARS_S, DnsSettings
from rostra.views.reader import Reader

EPOCH_S: Final = 1.0
"""Longest time without looking at views and contact again: a view in use is marked as such, a lost leader is noticed."""


class Freshness:
    """``caught_up``: the catalog behind the views has been as fresh as the leader once, so that what is not there does not exist.
    ``cut_off``: no leader is known. ``epoch`` is another number whenever a view may have changed."""

    def __init__(self, reader: Reader, clock: Callable[[], float]) -> None:
        self.caught_up = False
        self.cut_off = False
        self.may_be_stale = False
        self.epoch = 1
        self._reader = reader
        self._clock = clock
        self._changes = -1
        self._renew_at = 0.0
        self._settings = DnsSettings()

    def configure(self, settings: DnsSettings) -> None:
        """Takes other settings."""
        self._settings = settings
        self._renew_at = 0.0

    def look(self) -> None:
        """To be called before messages are answered; what it finds holds until the next await."""
        changes, now = self._reader.changes, self._clock()
        if changes == self._changes and now < self._renew_at:
            return
        self._changes, self._renew_at = changes, now + EPOCH_S
        self.epoch += 1
        contact, settings = self._reader.contact, self._settings
        self.caught_up = self.caught_up or contact.caught_up
        self.cut_off = not contact.known_leader
        is_young = settings.max_stale_s >= TEN_YEARS_S or contact.last_contact_ms <= settings.max_stale_s * 1000
        self.may_be_stale = settings.allow_stale and is_young

    @property
    def answers_at_once(self) -> bool:
        """Whether the views as they are will do."""
        return self.caught_up and self.may_be_stale
