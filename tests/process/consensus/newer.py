"""A newer build of rostra: this one, with one kind of command more (``note``), of the next level."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import rostra
from rostra.v1 import command_pb2
from rostra.version import COMMAND_LEVEL

from ..harness.program import Program

LEVEL: Final = COMMAND_LEVEL + 1
NOTE_FIELD: Final = 99
GENERATE: Final = (
    "import sys; from pathlib import Path; import grpc_tools; from grpc_tools import protoc;"
    "root = Path(sys.argv[1]); well_known = Path(grpc_tools.__file__).parent / '_proto';"
    "sys.exit(protoc.main(['protoc', f'-I{root}', f'-I{well_known}', f'--python_out={root}', str(root / 'rostra/v1/command.proto')]))"
)
START: Final = "import sys; from rostra.cli.main import main; sys.exit(main())"


def build(folder: Path) -> Program:
    """Copies the sources and adds the command: in the contract, with its level, and as what it does (a node of that name appears)."""
    roots = []
    for entry in dict.fromkeys(Path(each).resolve() for each in rostra.__path__):
        root = folder / entry.parent.name
        shutil.copytree(entry, root / "rostra", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        roots.append(root)
    proto = next(root for root in roots if (root / "rostra" / "v1").is_dir())
    services = next(root for root in roots if (root / "rostra" / "version.py").exists())
    _add(proto / "rostra/v1/command.proto", "    CommandGroup group = 12;\n", f"    // New.\n    string note = {NOTE_FIELD};\n")
    subprocess.run([sys.executable, "-c", GENERATE, str(proto)], check=True)
    _add(services / "rostra/version.py", f"COMMAND_LEVEL: Final = {COMMAND_LEVEL}\n", f"COMMAND_LEVEL = {LEVEL}  # type: ignore[misc]\n")
    _add(services / "rostra/catalog/levels.py", "LEVELS: Final[Mapping[str, int]] = {", f'"note": {LEVEL}, ')
    known = "            return deregistration_from_proto(message.deregister)\n"
    does = '        case "note":\n            return Registration(node=Node(message.note, "127.0.0.1"))\n'
    _add(services / "rostra/model/proto.py", known, does)
    return Program([sys.executable, "-c", START], {"PYTHONPATH": os.pathsep.join(map(str, roots))})


def note(name: str) -> bytes:
    """The new command, in bytes: these tests are of the older build."""
    text = name.encode()
    tag = NOTE_FIELD << 3 | 2
    head = bytes([tag & 0x7F | 0x80, tag >> 7, len(text)])
    return command_pb2.Command(request_id=os.urandom(16)).SerializeToString() + head + text


def _add(path: Path, after: str, text: str) -> None:
    _replace(path, after, after + text)


def _replace(path: Path, old: str, new: str) -> None:
    before = path.read_text()
    assert before.count(old) == 1, f"{path} is not as expected"
    path.write_text(before.replace(old, new))
