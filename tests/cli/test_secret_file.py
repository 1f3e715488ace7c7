"""The file that `postroom stripe setup --write` adds secrets to, when two of them run at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from postroom.base.errors import InvalidInput
from postroom.cli.secret_file import open_secret_file


def test_a_second_command_is_refused_at_once_and_leaves_the_file_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    with open_secret_file(path) as first:
        with pytest.raises(InvalidInput, match="another command"), open_secret_file(path):
            pass
        assert path.exists()
        first.add(SecretStr("whsec_1"))
    with open_secret_file(path) as second:
        second.add(SecretStr("whsec_2"))
    assert path.read_text() == "whsec_1,whsec_2\n"


def test_a_file_to_which_nothing_was_added_is_not_left_behind(tmp_path: Path) -> None:
    with open_secret_file(tmp_path / "secrets"):
        pass
    assert list(tmp_path.iterdir()) == []
