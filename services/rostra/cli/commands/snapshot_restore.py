"""``rostra snapshot restore``: a saved file in the catalog's place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import IO

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api
from rostra.cli.output import Progress, opened
from rostra.errors import BadRequest

PART_BYTES = 128 * 1024


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "snapshot restore",
        """
        Puts what rostra snapshot save saved in the place of the whole catalog: what is in it now
        and not in the file is gone, at one moment, on every server. A file that is damaged or of
        another program changes nothing. Agents that run bring their own node and services back
        at once.
        """,
        arguments="FILE",
        arguments_max=1,
    )
    add_server_flags(parser)
    options = parser.parse(arguments)
    if not options.arguments:
        raise BadRequest("Missing FILE argument")
    with opened(options.arguments[0], "snapshot file") as file:
        size = os.fstat(file.fileno()).st_size
        Api(options).upload("/v1/snapshot", "restoring snapshot", _parts(file, size), size)
    print("Restored snapshot")
    return exits.OK


def _parts(file: IO[bytes], size: int) -> Iterator[bytes]:
    with Progress("Sending", size) as progress:
        while part := file.read(PART_BYTES):
            progress.advance(len(part))
            yield part
