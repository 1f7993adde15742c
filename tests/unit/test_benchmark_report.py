"""What benchmarks found, as rows, and the report that is made of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[Any]:
    """The modules of the folder, which are scripts and import each other by name."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import pages
        import plots
        import report
        import rows
        import topics

        yield SimpleNamespace(pages=pages, plots=plots, report=report, rows=rows, topics=topics)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture
def found(benchmarks: Any) -> Any:
    """A report with a row of each sort."""
    row, topic = benchmarks.rows.Row, benchmarks.topics.TOPICS[0]
    made = [
        row(name=topic.headlines[0], unit="requests/s", ours=[40.0, 60.0, 90.0], peers=[10.0, 10.0, 10.0], wanted=4.0),
        row(name="slow <p99>", unit="ms", ours=[3.0], peers=[2.0], more_is_better=False, wanted=1.0),
        row(name="alone", unit="s", ours=[0.5], more_is_better=False, limit=1.0),
    ]
    curve = [row(name="packets", unit="1/s", ours=[2.0, 2.5], peers=[2.0], peer="formula", at=at) for at in (100, 1000)]
    results = [
        benchmarks.pages.Result(topic, made, ["some.py: exit code 1"], 60.0),
        benchmarks.pages.Result(benchmarks.topics.TOPICS[-1], curve, [], 1.0),
    ]
    about = dict.fromkeys(("machine", "Consul", "etcd", "Serf", "date"), "of a test")
    return benchmarks.pages.Report(about, True, 61.0, results)


def test_a_ratio_is_the_median_of_the_pairs(benchmarks: Any) -> None:
    row = benchmarks.rows.Row(name="", unit="", ours=[1.0, 8.0, 9.0], peers=[1.0, 2.0, 9.0])
    assert row.ratio == 1.0
    assert row.is_reached is None
    assert benchmarks.rows.Row(name="", unit="", ours=[1.0]).ratio is None


@pytest.mark.parametrize(
    ("value", "more_is_better", "wanted", "limit", "reached"),
    [(4.0, True, 2.0, None, True), (3.0, True, 2.0, None, False), (3.0, False, 2.0, None, True), (3.0, False, None, 2.0, False)],
)
def test_what_is_wanted_is_a_least_or_a_most(
    benchmarks: Any, value: float, more_is_better: bool, wanted: float | None, limit: float | None, reached: bool
) -> None:
    row = benchmarks.rows.Row(name="", unit="", ours=[value], peers=[2.0], more_is_better=more_is_better, wanted=wanted, limit=limit)
    assert row.is_reached is reached


def test_rows_are_read_as_they_were_written_but_for_what_never_ended(benchmarks: Any, tmp_path: Path) -> None:
    row = benchmarks.rows.Row
    whole = row(name="a", unit="s", ours=[1.0], peers=[2.0], peer="etcd", limit=3.0, at=4.0, more_is_better=False)
    benchmarks.rows.write(tmp_path / "rows", [whole, row(name="b", unit="s", ours=[float("inf")])])
    assert benchmarks.rows.read(tmp_path / "rows") == [whole]


def test_the_report_says_in_words_what_falls_short_and_what_is_missing(benchmarks: Any, found: Any) -> None:
    text = benchmarks.pages.markdown(found)
    assert "- HTTP reads, slow <p99>: 1.50 of Consul's, wanted at most 1.00" in text
    assert "**Not whole:** `some.py: exit code 1`" in text
    assert benchmarks.pages.summary(found) == "2 of 3 figures are as wanted; 1 measurements failed"
    assert "slow &lt;p99&gt;" in benchmarks.pages.html(found)


def test_every_plot_is_a_picture_and_is_in_the_report(benchmarks: Any, found: Any) -> None:
    plots = benchmarks.pages.plots(found)
    assert plots.keys() == {"http.svg", "raft.svg", "headlines.svg"}
    for svg in plots.values():
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "(raft.svg)" in benchmarks.pages.markdown(found)


def test_publishing_puts_the_headlines_between_the_marks_of_the_readme(
    benchmarks: Any, found: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarks.report, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text())
    benchmarks.report.publish("# whole", {"headlines.svg": "<svg/>"}, benchmarks.pages.headlines(found, "docs/benchmarks/"))
    readme = (tmp_path / "README.md").read_text()
    assert f"| {benchmarks.topics.TOPICS[0].headlines[0]} | 60 requests/s | 10 (Consul) | 6.00 |" in readme
    assert "](docs/benchmarks/headlines.svg)" in readme
    assert "](docs/benchmarks/README.md)" in readme
    assert readme.partition("<!-- end of benchmarks -->")[2] == (ROOT / "README.md").read_text().partition("<!-- end of benchmarks -->")[2]


def test_every_command_of_a_topic_is_a_script_that_writes_rows(benchmarks: Any) -> None:
    for topic in benchmarks.topics.TOPICS:
        for command in [*topic.full, *topic.quick]:
            script = ROOT / "benchmarks" / command.split()[0]
            assert "rows.add_option(parser)" in script.read_text(), command
            assert "rows.write(" in script.read_text(), command
