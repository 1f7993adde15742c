"""Configuration files and folders, in the order in which later ones win, and the fragments of ``-hcl``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rostra.config.definitions import read_definitions
from rostra.config.document import Node, SyntaxProblem, Table, read_hcl, read_json
from rostra.config.flags import Flag
from rostra.config.given import Findings, Given, did_you_mean
from rostra.config.key import Kind
from rostra.config.keys import FLAGS, SETTING_TABLES, SETTINGS
from rostra.config.values import described, from_document, shown

READERS: dict[str, Callable[[str], Table]] = {"json": read_json, "hcl": read_hcl}
SIZE_MAX = 16 << 20  # what a folder of generated definitions may need, and far below what would hurt


def read_files(flags: Sequence[Flag], config_format: str, findings: Findings) -> None:
    """Read what ``-config-file`` and ``-config-dir`` name, in the order of the command line."""
    for flag in flags:
        if flag.key is FLAGS["config-file"]:
            _read_file(Path(flag.text), flag.name, config_format, findings)
        elif flag.key is FLAGS["config-dir"]:
            for path in _files_in(flag, findings):
                _read_file(path, flag.name, config_format, findings)


def read_fragments(fragments: Sequence[str], findings: Findings) -> None:
    """Read the ``-hcl`` fragments. As in Consul they have the last word, wherever they stand."""
    for number, text in enumerate(fragments, start=1):
        read_text(text, f"-hcl[{number}]" if len(fragments) > 1 else "-hcl", "hcl", findings)


def read_text(text: str, file: str, config_format: str, findings: Findings) -> None:
    """Read one document; ``file`` is what messages call it."""
    try:
        table = READERS[config_format](text)
    except SyntaxProblem as error:
        findings.is_partial = True
        findings.problem(f"{file}:{error.line}:{error.column}", str(error))
        return
    _read_table("", table, file, findings)


def _files_in(flag: Flag, findings: Findings) -> Iterator[Path]:
    """The folder's files in lexical order; folders in it are left alone, and so is what is neither ``.hcl`` nor ``.json``."""
    folder = Path(flag.text)
    try:
        names = sorted(folder.iterdir())
    except OSError as error:
        findings.is_partial = True
        findings.problem(f"{flag.name} {folder}", (error.strerror or str(error)).lower())
        return
    yield from (path for path in names if path.suffix in (".json", ".hcl") and path.is_file())


def _read_file(path: Path, flag: str, config_format: str, findings: Findings) -> None:
    kind = config_format or path.suffix.removeprefix(".")
    try:
        path.stat()  # that there is no such file comes before how it is named
        if kind not in READERS:
            raise ValueError("its name ends in neither .hcl nor .json; -config-format says which it is")
        with path.open("rb") as file:
            data = file.read(SIZE_MAX + 1)
        if len(data) > SIZE_MAX:
            raise ValueError(f"it is larger than {SIZE_MAX >> 20} MiB")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8 at byte {error.start}"
    except OSError as error:
        message = (error.strerror or str(error)).lower()
    except ValueError as error:
        message = str(error)
    else:
        read_text(text, str(path), kind, findings)
        return
    findings.is_partial = True
    findings.problem(f"{flag} {path}", message)


def _read_table(prefix: str, table: Table, file: str, findings: Findings) -> None:
    """Take each entry of a table of settings. Keys are read in any case, as Consul does."""
    for written, node in table.entries:
        path = prefix + written.lower()
        if path in SETTINGS:
            _read_setting(path, node, file, findings)
        elif path not in SETTING_TABLES:
            findings.problem(f"{file}:{node.line}", f"unknown key {shown(prefix + written)}{_nearest(prefix, written)}")
        elif isinstance(node.value, Table):
            _read_table(f"{path}.", node.value, file, findings)
        else:
            findings.problem(f"{file}:{node.line}", f"{path}: expected a table, not {described(node.plain())}")


def _nearest(prefix: str, written: str) -> str:
    siblings = {path[len(prefix) :].partition(".")[0] for path in SETTINGS if path.startswith(prefix)}
    return did_you_mean(written.lower(), sorted(siblings), prefix=prefix)


def _read_setting(path: str, node: Node, file: str, findings: Findings) -> None:
    key, origin = SETTINGS[path], f"{file}:{node.line}"
    if key.kind is Kind.DEFINITIONS:
        if definitions := read_definitions(key, node, file, findings):
            findings.given.append(Given(key, definitions, origin))
        return
    findings.take(key, origin, functools.partial(from_document, key, node.plain()), subject=path)
