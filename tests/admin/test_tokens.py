"""How a token looks: enough randomness, and typing errors caught without the database."""

from __future__ import annotations

import pytest

from postroom.admin.tokens import Scope, generate_token, hash_token, parse_scopes, well_formed
from postroom.base.errors import InvalidInput
from postroom.base.log import remove_secrets


def test_a_token_has_prefix_160_bits_and_checksum() -> None:
    token = generate_token()
    assert token.startswith("pr_")
    assert len(token) == 3 + 32 + 7
    assert well_formed(token)
    assert len({generate_token() for _ in range(100)}) == 100


def test_every_single_wrong_character_is_noticed() -> None:
    token = generate_token()
    for place in range(len(token)):
        wrong = "a" if token[place] != "a" else "b"
        assert not well_formed(token[:place] + wrong + token[place + 1 :])


@pytest.mark.parametrize("text", ["", "pr_", "sk_live_123", "pr_" + "a" * 39, "pr_" + "a" * 32, "pr_ä"])
def test_what_is_no_token_is_refused(text: str) -> None:
    assert not well_formed(text)


def test_only_a_hash_is_needed_to_know_it_again() -> None:
    token = generate_token()
    assert hash_token(token) == hash_token(token)
    assert hash_token(token) != hash_token(generate_token())
    assert len(hash_token(token)) == 32


def test_a_token_never_reaches_a_log() -> None:
    token = generate_token()
    assert token[3:] not in remove_secrets(f"refused {token}")


def test_an_unknown_scope_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="outbox:replay"):
        parse_scopes(["admin:everything"])
    with pytest.raises(InvalidInput, match="at least one"):
        parse_scopes([])
    assert parse_scopes(["admin:read", "admin:read"]) == (Scope.ADMIN_READ,)
