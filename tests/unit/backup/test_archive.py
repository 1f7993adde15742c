"""A backup's file is read back as it was written, standard tools read it, and whatever is wrong with it is named."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rostra.backup.archive import MEMBER_BYTES, ArchiveReader, ArchiveWriter, BadSnapshot, Kind, Meta, Summary

META = Meta(id="2-12-1", cluster="c", datacenter="dc1", index=12, term=2, time="2026-01-01T00:00:00Z", software="rostra")


def write(state: bytes, step: int = 10_000) -> bytes:
    writer = ArchiveWriter(META)
    parts = [writer.begin()]
    parts += [writer.add(state[start : start + step]) for start in range(0, len(state), step)]
    return b"".join([*parts, writer.finish(Summary(size=len(state), records={"nodes": Kind(1, len(state))}))])


def read(data: bytes, step: int = 1000) -> bytes:
    reader = ArchiveReader()
    state = b"".join(piece for start in range(0, len(data), step) for piece in reader.feed(data[start : start + step]))
    reader.finish()
    assert reader.meta == META
    return state


@given(st.binary(max_size=3000), st.integers(1, 5000), st.integers(1, 5000))
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_read_whatever_the_pieces(state: bytes, written: int, taken: int) -> None:
    assert read(write(state, written), taken) == state


def test_a_large_state_takes_several_members() -> None:
    state = random.Random(1).randbytes(2 * MEMBER_BYTES + 17)
    assert read(write(state), 100_000) == state


def test_tar_shows_what_is_in_it() -> None:
    state = b"x" * (MEMBER_BYTES + 1)
    with tarfile.open(fileobj=io.BytesIO(write(state)), mode="r:gz") as archive:
        assert archive.getnames() == ["meta.json", "state/000000", "state/000001", "summary.json", "SHA256SUMS"]
        meta = archive.extractfile("meta.json")
        assert meta is not None
        assert json.load(meta) == {
            "Format": "rostra-snapshot", "Version": 1, "ID": "2-12-1", "Cluster": "c", "Datacenter": "dc1", "Index": 12, "Term": 2,
            "Time": "2026-01-01T00:00:00Z", "Software": "rostra",
        }  # fmt: skip


def tar(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members.items():
            head = tarfile.TarInfo(name.replace("__", "."))
            head.size = len(data)
            archive.addfile(head, io.BytesIO(data))
    return out.getvalue()


def changed(name: str, data: bytes) -> bytes:
    """A whole archive, one of whose members is another, with the digests as they were."""
    with tarfile.open(fileobj=io.BytesIO(write(b"state")), mode="r:gz") as archive:
        members = {each.name: archive.extractfile(each) for each in archive}
        held = {each: file.read() for each, file in members.items() if file is not None}
    return tar(**{**held, name: data})


CONSULS = b'{"Version":1,"ID":"2-12-1795831098451","Index":12,"Term":2,"Peers":"a","Size":4932}\n'


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"hello", "not compressed by gzip"),
        (gzip.compress(b"hello" * 200), "no tar archive"),
        (gzip.compress(b"hello"), "cut off"),
        (tar(other=b"x"), "begins with other, not with meta.json"),
        (tar(meta__json=CONSULS, state__bin=b"x"), "a snapshot of another program, perhaps of Consul"),
        (tar(meta__json=b'{"Format": "else"}'), "a snapshot of another program: its Format is else"),
        (tar(meta__json=b'{"Format": "rostra-snapshot", "Version": 9}'), "format version 9; this version of rostra reads 1"),
        (tar(meta__json=b'{"Format": "rostra-snapshot", "Version": 1}'), "damaged: meta.json: Object missing required field"),
        (tar(meta__json=b"\xff"), "damaged: meta.json"),
        (changed("state/000000", b"STATE"), "state/000000 is not what it was"),
        (changed("summary.json", b"{}"), "damaged: summary.json"),
        (changed("state/000002", b""), "state/000002 comes after the end"),
        (changed("SHA256SUMS", b"x"), "meta.json is not what it was"),
        (write(b"state") + b"x", "bytes after its end"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # not the bytes: gzip writes the time into them
)
def test_what_is_wrong_with_a_file_is_named(data: bytes, says: str) -> None:
    with pytest.raises(BadSnapshot) as refused:
        read(data)
    assert says in str(refused.value)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_damage_goes_unseen(data: st.DataObject) -> None:
    whole = write(random.Random(2).randbytes(2000))
    place = data.draw(st.integers(0, len(whole) - 1))
    cut: Callable[[], bytes] = lambda: whole[:place]  # noqa: E731
    flipped: Callable[[], bytes] = lambda: whole[:place] + bytes([whole[place] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[place + 1 :]  # noqa: E731
    broken = data.draw(st.sampled_from([cut, flipped]))()
    try:
        state = read(broken)
    except BadSnapshot:
        return
    assert 4 <= place < 10  # gzip's header has a time, flags and a system that mean nothing here
    assert state == random.Random(2).randbytes(2000)


def test_a_file_that_expands_without_end_costs_no_memory() -> None:
    reader = ArchiveReader()
    bomb = gzip.compress(bytes(64 << 20))
    with pytest.raises(BadSnapshot, match="cut off"):
        list(reader.feed(bomb))
    assert len(reader._buffer) < 1 << 20
