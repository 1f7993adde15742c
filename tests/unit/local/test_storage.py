"""What was registered is there after a restart, whole or as it was before."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from rostra.errors import RostraError
from rostra.local.storage import LocalStore
from rostra.model.catalog import Check, CheckDefinition, HealthStatus, Service, ServiceAddress, Weights

WEB = Service(
    "web", "web", tags=("a", "b"), port=80, meta={"k": "v"}, tagged_addresses={"lan": ServiceAddress("10.0.0.1", 81)}, weights=Weights(3, 2)
)
CHECK = Check("n1", "service:web", "alive", HealthStatus.PASSING, service_id="web", definition=CheckDefinition(ttl_s=1.5), type="ttl")


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    LocalStore(tmp_path / "local").save([WEB], [CHECK])
    assert LocalStore(tmp_path / "local").load() == ([WEB], [CHECK])


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    LocalStore(tmp_path / "local").save([WEB], [])
    assert stat.S_IMODE((tmp_path / "local" / "registrations.json").stat().st_mode) == 0o600


def test_without_a_folder_nothing_is_kept() -> None:
    store = LocalStore(None)
    store.save([WEB], [])
    assert store.load() == ([], [])


def test_a_write_that_was_cut_short_leaves_the_file_before_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.save([WEB], [])
    (tmp_path / "registrations.new").write_text('{"version": 1, "serv')
    assert store.load() == ([WEB], [])


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2}', json.dumps({"version": 1, "services": [{"no": 1}], "checks": []})])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "registrations.json").write_text(text)
    with pytest.raises(RostraError, match=r"registrations\.json"):
        LocalStore(tmp_path).load()
