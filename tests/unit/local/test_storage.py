"""What was registered is there after a restart, whole or as it was before."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import lmdb
import pytest

from rostra.errors import RostraError
from rostra.local.storage import LocalStore, Record
from rostra.model.catalog import Check, CheckDefinition, HealthStatus, Service, ServiceAddress, Weights
from rostra.model.topics import node_check_key, node_service_key

WEB = Service(
    "web", "web", tags=("a", "b"), port=80, meta={"k": "v"}, tagged_addresses={"lan": ServiceAddress("10.0.0.1", 81)}, weights=Weights(3, 2)
)
CHECK = Check("n1", "service:web", "alive", HealthStatus.PASSING, service_id="web", definition=CheckDefinition(ttl_s=1.5), type="ttl")
RECORDS: Mapping[str, Record] = {node_service_key("web"): WEB, node_check_key("service:web"): CHECK}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "local")
    assert store.open() == {}
    yield store
    store.close()


def again(tmp_path: Path) -> dict[str, Record]:
    """What another process would find."""
    store = LocalStore(tmp_path / "local")
    try:
        return store.open()
    finally:
        store.close()


def test_what_is_written_is_found_again(store: LocalStore, tmp_path: Path) -> None:
    store.write(RECORDS)
    store.close()
    assert again(tmp_path) == RECORDS


def test_what_is_removed_is_gone_and_the_rest_stays(store: LocalStore, tmp_path: Path) -> None:
    store.write(RECORDS)
    store.write({node_check_key("service:web"): None, node_check_key("never there"): None})
    store.close()
    assert again(tmp_path) == {node_service_key("web"): WEB}


def test_an_id_may_be_longer_than_a_key_of_the_database(store: LocalStore, tmp_path: Path) -> None:
    long = Service("x" * 5000, "long")
    store.write({node_service_key(long.id): long})
    store.close()
    assert again(tmp_path) == {node_service_key(long.id): long}


def test_the_file_is_for_its_owner_only(store: LocalStore, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "local" / "registrations.mdb").stat().st_mode) == 0o600


def test_without_a_folder_nothing_is_kept() -> None:
    store = LocalStore(None)
    assert (store.keeps, store.open()) == (False, {})
    store.write(RECORDS)


def test_a_disk_that_is_full_refuses_the_change_and_takes_the_next_one_when_there_is_room(store: LocalStore, tmp_path: Path) -> None:
    store.write({node_service_key("web"): WEB})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "local" / "registrations.mdb").stat().st_size, hard))
    try:
        large = Service("large", "large", meta={"k": "v" * 300_000})
        with pytest.raises(RostraError, match=r"nothing was changed.*registrations\.mdb.*File too large"):
            store.write({node_service_key("large"): large, node_service_key("web"): None})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.write({node_check_key("service:web"): CHECK})
    store.close()
    assert again(tmp_path) == RECORDS


def test_room_is_asked_for_before_anything_is_written(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs("/")
    full = os.statvfs_result([*tuple(real)[:3], 1, 1, *tuple(real)[5:10]])
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(RostraError, match="No space left on device"):
        store.write(RECORDS)
    monkeypatch.undo()
    store.write(RECORDS)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "registrations.mdb").write_bytes(b"this is no database" * 1000)
    with pytest.raises(RostraError, match=r"registrations\.mdb"):
        LocalStore(tmp_path / "local").open()


@pytest.mark.parametrize(("key", "value"), [(b"version", b"2"), (b"service\0" + b"x" * 32, b"\xff\xff"), (b"token\0x", b"")])
def test_records_of_another_version_are_refused_and_named(tmp_path: Path, key: bytes, value: bytes) -> None:
    again(tmp_path)
    with (
        lmdb.open(str(tmp_path / "local" / "registrations.mdb"), subdir=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(key, value)
    with pytest.raises(RostraError, match=r"registrations\.mdb"):
        again(tmp_path)
