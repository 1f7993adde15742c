"""Every kind of command has a level, and the newest of them is what this version announces."""

from __future__ import annotations

from rostra.catalog.levels import LEVELS, level_of
from rostra.v1 import command_pb2
from rostra.version import COMMAND_LEVEL


def test_every_kind_of_the_contract_has_a_level() -> None:
    kinds = {field.name for field in command_pb2.Command.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert set(LEVELS) == kinds
    assert max(LEVELS.values()) == COMMAND_LEVEL


def test_a_group_needs_what_its_newest_part_needs() -> None:
    part = command_pb2.Command(register=command_pb2.Command().register)
    part.register.SetInParent()
    assert level_of(part) == 1
    assert level_of(command_pb2.Command(group=command_pb2.CommandGroup(commands=[part]))) == 1
