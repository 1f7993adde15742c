"""The data folder belongs to its owner, and each role's part to one process."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from pathlib import Path

import pytest

from rostra.agent.folder import DataFolder
from rostra.errors import RostraError


def test_it_is_made_for_its_owner_only(tmp_path: Path) -> None:
    DataFolder(tmp_path / "data", ["gossip"]).release()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_what_is_no_folder_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(RostraError, match="data: it is a file, not a folder"):
        DataFolder(tmp_path / "data", [])


def test_a_folder_of_another_user_names_the_user_it_must_belong_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(RostraError, match=r"Operation not permitted: it must belong to the user that rostra runs as \(\w+\)"):
        DataFolder(tmp_path, [])


def test_a_second_process_with_the_same_role_is_refused_by_name(tmp_path: Path) -> None:
    first = DataFolder(tmp_path, ["gossip", "dns"])
    with pytest.raises(RostraError, match=r"another process \(\d+\) runs the role dns on it"):
        DataFolder(tmp_path, ["catalog", "dns"])
    first.release()
    DataFolder(tmp_path, ["dns"]).release()


def test_processes_with_other_roles_share_it(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path, ["gossip"]), DataFolder(tmp_path, ["dns"])
    first.release()
    second.release()


def test_the_node_id_is_made_once(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path, [])
    node_id = folder.node_id()
    assert str(uuid.UUID(node_id)) == node_id
    assert DataFolder(tmp_path, []).node_id() == node_id


def test_a_broken_node_id_is_named(tmp_path: Path) -> None:
    (tmp_path / "node-id").write_text("me")
    with pytest.raises(RostraError, match="node-id: 'me' is not a UUID"):
        DataFolder(tmp_path, []).node_id()
