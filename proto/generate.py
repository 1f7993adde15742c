"""Makes the Python stubs beside the .proto files; ``--check`` fails when those committed differ.

Needs grpcio-tools and mypy-protobuf at the versions of the ``dev`` dependency group, so that everyone generates the same bytes.
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGE = Path("rostra/v1")


def generate(output: Path) -> None:
    """Writes every stub below ``output``, in the package's folder."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).glob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    outputs = [f"--{kind}={output}" for kind in ("python_out", "grpc_python_out", "mypy_out", "mypy_grpc_out")]
    code = protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *outputs, *sources])
    if code != 0:
        raise SystemExit(code)


def stubs(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*_pb2*.py*")}


def check() -> int:
    """Returns 1 and names the files when the committed stubs are not what the .proto files give."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh, committed = Path(scratch) / PACKAGE, ROOT / PACKAGE
        names = stubs(fresh) | stubs(committed)
        _, differing, missing = filecmp.cmpfiles(fresh, committed, sorted(names), shallow=False)
    for name in differing + missing:
        print(f"{PACKAGE / name}: not what the .proto files give; run python proto/generate.py", file=sys.stderr)
    return 1 if differing or missing else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed stubs, write nothing")
    if parser.parse_args().check:
        return check()
    generate(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
