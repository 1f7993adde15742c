"""The fuzz target itself, on its seeds and a few changed ones: so that it still works when somebody wants to fuzz."""

from __future__ import annotations

import random

from ..unit.gossip.hostile import mutate
from .gossip_target import Fuzzed, seeds


def test_the_fuzz_target_takes_what_real_peers_sent_and_what_becomes_of_it_by_mutation() -> None:
    fuzzed, rng, corpus = Fuzzed(), random.Random(1), seeds()
    assert len(corpus) > 20
    for seed in corpus:
        fuzzed.one_input(seed)
    understood = len(fuzzed.plain.core.serf.members) + len(fuzzed.encrypted.core.serf.members)
    assert understood > 2
    for _ in range(2000):
        seed = rng.choice(corpus)
        fuzzed.one_input(seed[:1] + mutate(seed[1:], corpus, rng))
