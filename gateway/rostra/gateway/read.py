"""A catalog or health read, made ready: the protocol keeps it for requests that come again."""

from __future__ import annotations

from rostra.gateway.ask import ReadOptions
from rostra.gateway.lookups import Lookup, Match
from rostra.gateway.resultsets import ResultSet, Variant
from rostra.model.consistency import Consistency


class Read:
    """``results`` is shared by all who ask the same."""

    __slots__ = ("consistency", "gzip", "is_cached", "lookup", "match", "near", "options", "pretty", "results", "topics", "variant")

    def __init__(
        self,
        lookup: Lookup,
        results: ResultSet,
        options: ReadOptions,
        *,
        match: Match | None = None,
        pretty: bool = False,
        cacheable: bool = False,
        near: str = "",
        gzip: bool = False,
    ) -> None:
        self.lookup = lookup
        self.topics = lookup.topics
        self.results = results
        self.options = options
        self.match = match
        self.pretty = pretty
        self.near = near
        self.gzip = gzip
        self.is_cached = cacheable and options.cached
        self.consistency = Consistency.STALE if self.is_cached else options.consistency
        """What to ask of the views. ``cached`` is the view as it is: it is kept up to date in the background, as Consul's cache is
        (https://developer.hashicorp.com/consul/api-docs/features/caching)."""
        self.variant: Variant = (pretty, gzip, self.is_cached, options.consistency.value)
        """What finished answers of the same results differ by."""
