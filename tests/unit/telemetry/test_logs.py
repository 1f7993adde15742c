"""A log line is a constant event with fields, as text or as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from rostra.telemetry import logs


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    root = logging.getLogger("rostra")
    handlers, level, propagate = list(root.handlers), root.level, root.propagate
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    root.propagate = propagate


def test_text_has_time_level_module_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    logging.getLogger("rostra.raft").warning(
        "became leader", extra={"term": 4, "reason": "no one else", "leader": "", "known": None, "sole": True}
    )
    line = capsys.readouterr().out
    assert line[10] == "T"
    assert line[23:] == 'Z [WARN]  raft: became leader: term=4 reason="no one else" leader="" known=none sole=true\n'


def test_json_has_the_fields_beside_consuls_keys(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", as_json=True)
    logging.getLogger("rostra.raft").info("became leader", extra={"term": 4, "peer": Path("x")})
    entry = json.loads(capsys.readouterr().out)
    assert entry.pop("@timestamp").endswith("Z")
    assert entry == {"@level": "info", "@message": "became leader", "@module": "raft", "term": 4, "peer": "x"}


def test_a_level_hides_what_is_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warn")
    logging.getLogger("rostra.raft").info("unseen")
    assert capsys.readouterr().out == ""


def test_a_tap_hears_more_than_the_log_and_counts_what_it_loses(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("error")
    heard: list[None] = []
    with logs.tapped("debug", as_json=False, notify=lambda: heard.append(None)) as tap:
        for number in range(logs.TAP_LINES + 3):
            logging.getLogger("rostra.raft").debug("event %d", number)
    lines, lost = tap.take()
    assert (len(lines), lost, len(heard)) == (logs.TAP_LINES, 3, logs.TAP_LINES + 3)
    assert "event 3" in lines[0]
    assert capsys.readouterr().out == ""


def test_a_log_file_is_set_aside_at_its_size_and_old_ones_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", file=str(tmp_path / "rostra.log"), rotate_bytes=100, rotate_max_files=2)
    for number in range(20):
        logging.getLogger("rostra.raft").info("event %d", number)
    capsys.readouterr()
    older = sorted(tmp_path.glob("rostra-*.log"))
    assert len(older) == 2
    assert "event 19" in (tmp_path / "rostra.log").read_text()
