"""What takes long to answer holds up nothing."""

from __future__ import annotations

import asyncio
import random

import dns.message
import pytest

from rostra.dns import desk
from rostra.dns.core import Core
from rostra.dns.desk import Desk
from rostra.dns.recursion import make_recursion
from rostra.dns.settings import DnsSettings
from rostra.dns.wire import Transport

from .support import Catalog, make_instance

INSTANCES = 2000


async def test_the_loop_turns_while_the_first_question_for_a_large_service_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "SLICE_S", 0.0)
    catalog, settings, chance = Catalog(), DnsSettings(), random.Random(1)
    catalog.add(*(make_instance(catalog.node(f"n{number}", f"10.0.{number >> 8}.{number & 255}"), "web") for number in range(INSTANCES)))
    asked = Desk(Core(settings, chance), catalog, make_recursion(settings, chance))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    message = dns.message.make_query("web.service.consul", "A").to_wire()
    answer = await asked.answer(message, Transport.TCP, "127.0.0.1")
    counting.cancel()
    assert answer is not None
    assert len(dns.message.from_wire(answer).answer[0]) == INSTANCES
    assert turns >= INSTANCES // desk.LOOK_EVERY
    assert isinstance(asked.at_once(message, Transport.TCP, "127.0.0.1"), bytes), "from now on there is nothing to wait for"
