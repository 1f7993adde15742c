"""``rostra watch``: what it asks, when it runs its handler, and when it gives up."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from rostra.cli import exits
from rostra.cli.commands import watch

from .conftest import FakeAgent, Rostra, Server


class Scripted:
    """An agent whose answers are a list of (status, index, document), one for each read in turn; the last asks the watch to end by
    making its handler fail."""

    def __init__(self, answers: list[tuple[int, int, object]]) -> None:
        self.answers = iter(answers)
        self.asked: list[str | None] = []

    def handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        script = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, index = 200, 1
                document: object = {}
                if "/agent/self" not in self.path:
                    script.asked.append(parse_qs(urlsplit(self.path).query).get("index", [None])[0])
                    status, index, document = next(script.answers)
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("X-Consul-Index", str(index))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


@pytest.fixture
def follow(rostra: Rostra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Runs a watch over scripted answers until one holds "end": what was asked, and what the handler was given."""
    monkeypatch.setattr(watch, "RETRY_S", 0.001)
    seen = tmp_path / "seen"

    def run(answers: list[tuple[int, int, object]]) -> tuple[list[str | None], list[str], str]:
        script = Scripted(answers)
        with Server(("127.0.0.1", 0), script.handler()) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            command = f"input=$(cat); echo $CONSUL_INDEX $input >> {seen}; case $input in *end*) exit 3;; esac"
            outcome = rostra("watch", "-type=services", f"-http-addr=127.0.0.1:{server.server_port}", command)
            server.shutdown()
            thread.join()
        assert outcome.code == exits.FAILED
        assert outcome.err.endswith("Error executing handler: exit status 3\n")
        return script.asked, seen.read_text().splitlines(), outcome.err

    return run  # type: ignore[return-value]


END: tuple[int, int, object] = (200, 99, {"end": []})


def test_the_handler_runs_for_each_answer_that_is_another(follow) -> None:  # type: ignore[no-untyped-def]
    asked, seen, _ = follow([(200, 7, {"a": []}), (200, 7, {"a": []}), (200, 9, {"a": []}), (200, 12, {"b": ["x"]}), END])
    assert seen == ['7 {"a":[]}', '12 {"b":["x"]}', '99 {"end":[]}']
    assert asked == [None, "7", "7", "9", "12"]


def test_an_index_that_goes_back_starts_over(follow) -> None:  # type: ignore[no-untyped-def]
    asked, _, _ = follow([(200, 7, {"a": []}), (200, 3, {"a": []}), (200, 3, {"c": []}), END])
    assert asked == [None, "7", None, "3"]


def test_what_fails_is_tried_again_from_the_start_and_is_told(follow) -> None:  # type: ignore[no-untyped-def]
    asked, seen, errors = follow([(200, 7, {"a": []}), (500, 0, "No cluster leader"), (200, 8, {"a": []}), END])
    assert asked == [None, "7", None, "8"]
    assert len(seen) == 2
    assert "No cluster leader" in errors


def test_without_a_program_it_shows_the_view_and_ends(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers.update({"GET /v1/agent/self": {}, "GET /v1/catalog/nodes": [{"Node": "a"}]})
    outcome = rostra("watch", "-type", "nodes", "-stale")
    assert (outcome.code, outcome.out) == (exits.OK, '[\n    {\n        "Node": "a"\n    }\n]\n')
    assert agent.requests[-1].query == {"stale": [""]}


@pytest.mark.parametrize(
    ("words", "path", "query"),
    [
        ("-type=services", "/v1/catalog/services", {}),
        ("-type=service -service=a/b", "/v1/health/service/a%2Fb", {}),
        ("-type=service -service=a -passingonly=true -tag=x -tag=y", "/v1/health/service/a", {"passing": ["1"], "tag": ["x", "y"]}),
        ("-type=checks", "/v1/health/state/any", {}),
        ("-type=checks -state=critical", "/v1/health/state/critical", {}),
        ("-type=checks -service=a", "/v1/health/checks/a", {}),
    ],
)
def test_each_type_asks_for_its_view(rostra: Rostra, agent: FakeAgent, words: str, path: str, query: dict[str, list[str]]) -> None:
    agent.answers.update({"GET /v1/agent/self": {}, f"GET {path}": []})
    assert rostra("watch", *words.split()).out == "[]\n"
    assert (agent.requests[-1].path, agent.requests[-1].query) == (path, query)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "Watch type must be specified"),
        ("-type=foo", "Unsupported watch type: foo"),
        ("-type=key", "not in this version"),
        ("-type=service", "Must specify a single service to watch"),
        ("-type=nodes -service=x", "Invalid parameters: [service]"),
        ("-type=checks -service=a -state=any", "Cannot specify service and state"),
    ],
)
def test_flags_that_make_no_sense_are_refused_before_anything_is_asked(rostra: Rostra, agent: FakeAgent, words: str, text: str) -> None:
    outcome = rostra("watch", *words.split())
    assert outcome.code == exits.FAILED
    assert text in outcome.err
    assert not agent.requests


def test_words_after_the_program_are_its_own_and_without_a_shell_it_is_run_as_it_is(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers.update({"GET /v1/agent/self": {}, "GET /v1/catalog/services": {}})
    outcome = rostra("watch", "-type=services", "-shell=false", "sh", "-c", "exit 5")
    assert (outcome.code, outcome.err) == (exits.FAILED, "Error executing handler: exit status 5\n")
    assert rostra("watch", "-type=services", "-shell=false", "/nope").err.startswith("Error starting handler: /nope: no such file")


def test_an_agent_that_is_not_there_is_told_at_once(rostra: Rostra) -> None:
    outcome = rostra("watch", "-type=services", "-http-addr=127.0.0.1:1", "cat")
    assert outcome.code == exits.FAILED
    assert outcome.err.startswith("Error querying Consul agent: ")
