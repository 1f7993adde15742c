"""``rostra snapshot save``: the catalog as a file, checked as it comes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from rostra.backup.archive import ArchiveReader, BadSnapshot
from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api
from rostra.cli.output import Progress
from rostra.errors import BadRequest, RostraError, Unavailable


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "snapshot save",
        """
        Saves the catalog of the datacenter, nodes, services and checks as they are at one moment,
        to a file for rostra snapshot restore. The file is checked before it gets its name, and
        takes the place of one that has it. With -stale any server answers, leader or not.
        """,
        arguments="FILE",
        arguments_max=1,
    )
    add_server_flags(parser)
    options = parser.parse(arguments)
    if not options.arguments:
        raise BadRequest("Missing FILE argument")
    reader = ArchiveReader()
    with _written_whole(options.arguments[0]) as file, Progress("Saving") as progress:
        try:
            for chunk in Api(options).stream("/v1/snapshot", "saving snapshot"):
                file.write(chunk)
                progress.advance(len(chunk))
                for _ in reader.feed(chunk):
                    pass
            reader.finish()
        except BadSnapshot as error:
            raise Unavailable(f"Error verifying snapshot: {error}") from None
    assert reader.meta is not None, "a file that is whole has its head"
    print(f"Saved and verified snapshot to index {reader.meta.index}")
    return exits.OK


@contextmanager
def _written_whole(path: str) -> Iterator[IO[bytes]]:
    """A file that gets its name once everything is on disk; on an error nothing is left."""
    folder, name = os.path.split(path)
    scratch = ""
    try:
        with tempfile.NamedTemporaryFile(dir=folder or ".", prefix=f".{name}.", delete=False) as file:
            scratch = file.name
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        scratch = ""
    except RostraError:
        raise
    except OSError as error:
        raise Unavailable(f"Error saving snapshot: {path}: {(error.strerror or str(error)).lower()}") from None
    finally:
        if scratch:
            with suppress(OSError):
                os.unlink(scratch)
