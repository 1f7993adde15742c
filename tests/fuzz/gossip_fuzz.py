"""Coverage-guided fuzzing of everything that takes bytes from the gossip network, with atheris (CONTRIBUTING.md has the command).

``gossip_fuzz.py FOLDER [-max_total_time=60 …]``: the corpus is kept in the folder, and begun with what real peers sent. Further options
are libFuzzer's. An input that breaks something is left in a file, which is an option too: it is then run alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["rostra.gossip"]):
    from tests.fuzz.gossip_target import INPUT_BYTES_MAX, Fuzzed, seeds


def main() -> None:
    folder = Path(sys.argv[1])
    if not folder.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / f"seed-{number}").write_bytes(seed)
    fuzzed = Fuzzed()
    atheris.Setup([sys.argv[0], f"-max_len={INPUT_BYTES_MAX}", *sys.argv[1:]], fuzzed.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
