"""``rostra snapshot inspect``: whether a saved file is whole, and what is in it. Asks no agent."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rostra.backup.archive import ArchiveReader, BadSnapshot, Meta, Summary
from rostra.cli import exits
from rostra.cli.flags import Parser
from rostra.cli.output import Progress, opened, print_json, print_table
from rostra.errors import BadRequest

PART_BYTES = 128 * 1024


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "snapshot inspect",
        "Checks every byte of a file that rostra snapshot save saved, and shows what it is of.",
        arguments="FILE",
        arguments_max=1,
    )
    parser.value("format", "How to show it.", default="pretty", choices=("pretty", "json"))
    options = parser.parse(arguments)
    if not options.arguments:
        raise BadRequest("Missing FILE argument")
    try:
        meta, summary = _read(options.arguments[0])
    except BadSnapshot as error:
        raise BadRequest(f"Error verifying snapshot: {error}") from None
    if options.format == "json":
        print_json(_as_json(meta, summary))
    else:
        _show(meta, summary)
    return exits.OK


def _read(path: str) -> tuple[Meta, Summary]:
    reader = ArchiveReader()
    with opened(path, "snapshot file") as file, Progress("Checking", os.fstat(file.fileno()).st_size) as progress:
        while part := file.read(PART_BYTES):
            for _ in reader.feed(part):
                pass
            progress.advance(len(part))
    summary = reader.finish()
    assert reader.meta is not None, "a file that is whole has its head"
    return reader.meta, summary


def _show(meta: Meta, summary: Summary) -> None:
    print_table(
        [
            ("ID", meta.id),
            ("Size", str(summary.size)),
            ("Index", str(meta.index)),
            ("Term", str(meta.term)),
            ("Version", str(meta.version)),
            ("Cluster", meta.cluster),
            ("Datacenter", meta.datacenter),
            ("Time", meta.time),
            ("Software", meta.software),
        ]
    )
    print()
    print_table([("Type", "Count", "Size"), *((name, str(kind.count), str(kind.size)) for name, kind in summary.records.items())])


def _as_json(meta: Meta, summary: Summary) -> dict[str, object]:
    return {
        "Meta": {
            "ID": meta.id,
            "Size": summary.size,
            "Index": meta.index,
            "Term": meta.term,
            "Version": meta.version,
            "Cluster": meta.cluster,
            "Datacenter": meta.datacenter,
            "Time": meta.time,
            "Software": meta.software,
        },
        "Stats": [{"Name": name, "Count": kind.count, "Sum": kind.size} for name, kind in summary.records.items()],
        "TotalSize": summary.size,
    }
