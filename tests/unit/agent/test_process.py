"""A process runs its roles together, or not at all."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator, Mapping

import pytest

from rostra.agent.process import EXIT_FAILED, EXIT_OK, Process
from rostra.errors import RostraError


@pytest.fixture(autouse=True)
def _garbage_collection() -> Iterator[None]:
    """A process sets the collector up for a long life; a test gives it back."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class Story:
    """A role that writes down what happens to it."""

    ready = True

    def __init__(self, name: str, story: list[str], *, fails: str = "", error: Exception | None = None) -> None:
        self.name = name
        self._story = story
        self._fails = fails
        self._error = error or RostraError(f"{name} broke")

    async def start(self) -> None:
        self._story.append(f"start {self.name}")
        if self._fails == "start":
            raise self._error

    async def run(self) -> None:
        try:
            if self._fails == "run":
                raise self._error
            if self._fails == "return":
                return
            await asyncio.Event().wait()
        finally:
            self._story.append(f"end {self.name}")

    async def stop(self) -> None:
        self._story.append(f"stop {self.name}")

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {}


async def test_roles_start_in_order_and_stop_in_reverse() -> None:
    story: list[str] = []
    process = Process([Story("a", story), Story("b", story)], [Story("door", story)])
    code = await process.run(on_started=lambda: asyncio.get_running_loop().call_soon(process.end))
    assert code == EXIT_OK
    assert story == ["start a", "start b", "start door", "stop door", "end b", "stop b", "end a", "stop a"]


async def test_those_that_face_clients_end_before_the_port_between_servers() -> None:
    story: list[str] = []
    roles = [Story(name, story) for name in ("consensus", "dns", "gateway")]
    process = Process(roles, [Story("gRPC port", story), Story("server port", story)])
    await process.run(on_started=lambda: asyncio.get_running_loop().call_soon(process.end))
    assert [line for line in story if line.startswith("stop")] == [
        "stop gRPC port", "stop gateway", "stop dns", "stop server port", "stop consensus",
    ]  # fmt: skip


async def test_a_role_that_cannot_start_stops_those_before_it_and_its_error_is_raised() -> None:
    story: list[str] = []
    process = Process([Story("a", story), Story("b", story, fails="start"), Story("c", story)], [])
    with pytest.raises(RostraError, match="b broke"):
        await process.run()
    assert story == ["start a", "start b", "stop b", "stop a"]


@pytest.mark.parametrize("error", [RostraError("no room"), ZeroDivisionError("bug")])
async def test_a_role_that_fails_ends_the_process_with_one_line_that_names_it(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    story: list[str] = []
    process = Process([Story("a", story), Story("b", story, fails="run", error=error)], [])
    with caplog.at_level(logging.ERROR, "rostra.agent"):
        assert await process.run() == EXIT_FAILED
    (record,) = caplog.records
    assert vars(record)["role"] == "b"
    assert vars(record)["error"] is error
    assert (record.exc_info is None) == isinstance(error, RostraError), "a traceback is for bugs"
    assert story[-4:] == ["end b", "stop b", "end a", "stop a"]


async def test_a_role_that_returns_ends_the_process_in_good_order() -> None:
    story: list[str] = []
    assert await Process([Story("a", story), Story("b", story, fails="return")], []).run() == EXIT_OK
    assert story[-3:] == ["stop b", "end a", "stop a"]
