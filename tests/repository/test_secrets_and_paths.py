"""No secret is in the repository. Planted ones of the tests are named here, one by one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from postroom.admin.tokens import generate_token, well_formed

ROOT = Path(__file__).parents[2]
FILE_BYTES_MAX = 2_000_000

# Written in pieces, so that this file does not find itself.
PATTERNS = {
    "Stripe key": r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    "signing secret": r"\bwhsec_[A-Za-z0-9+/=_]{20,}",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE " + "KEY-----",
    "Postroom token": r"\bpr_[a-z2-7]{39}\b",
    "cloud key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{30,}",
    "password in a url": r"\b[a-z][a-z0-9+]*://[A-Za-z0-9_.%-]+:(?!\{)[^\s/@:'\"`<>{}$…*]{3,}@[A-Za-z0-9\[]",
}
ALLOWED = {
    "password",  # what documentation writes where a password stands
    "pass",
    "word",
    "secret",
    "postgres",
    "CHANGE",  # in the examples of deploy/
    "hidden-password",
    "hunter2",
    "sesame",
    "old",
    "p%2Fq%3A",
}
"""Passwords in urls that are plainly none."""
PLANTED = {
    "whsec_" + "benchmark0123456789abcdef",
    "whsec_" + "cm9sbGVkLXJvbGxlZC1yb2xsZWQtcm9sbGVk",
    "whsec_" + "ZHJpbGwtZHJpbGwtZHJpbGwtZHJpbGw=",
    "whsec_" + "plantedSigningSecret42",
    "whsec_" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "sk_live_" + "plantedStripeKey42",
}
"""What benchmarks, drills and tests sign with or plant to see it removed. None opens anything."""


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: an archive has no list of files")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def findings(text: str) -> list[tuple[str, str]]:
    return [(kind, found[0]) for kind, pattern in PATTERNS.items() for found in re.finditer(pattern, text)]


def harmless(kind: str, found: str) -> bool:
    if found in PLANTED:
        return True
    if kind == "password in a url":
        return found.rpartition("@")[0].rpartition(":")[2] in ALLOWED
    return kind == "Postroom token" and not well_formed(found)


def test_no_file_holds_a_secret() -> None:
    leaked = []
    for path in tracked():
        if not path.is_file() or path.stat().st_size > FILE_BYTES_MAX:
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        leaked += [
            (str(path.relative_to(ROOT)), kind, found)
            for kind, found in findings(text)
            if not harmless(kind, found)
        ]
    assert leaked == []


def test_files_that_hold_secrets_by_their_name_are_not_there() -> None:
    names = {".env", ".netrc", ".pgpass", "id_rsa", "id_ed25519", "credentials.json"}
    assert [path for path in tracked() if path.name in names or path.suffix in (".pem", ".key", ".p12")] == []


@pytest.mark.parametrize(
    "secret",
    [
        "sk_" + "live_" + "a1B2" * 6,
        "rk_" + "test_" + "a1B2" * 6,
        "whsec_" + "a1B2" * 8,
        "-----BEGIN RSA PRIVATE " + "KEY-----",
        "-----BEGIN PRIVATE " + "KEY-----",
        "AKIA" + "ABCD" * 4,
        "ghp_" + "a1B2" * 9,
        "postgresql://app:" + "correct-horse@db/app",
    ],
)
def test_the_check_sees_each_kind(secret: str) -> None:
    assert [kind for kind, found in findings(f"x = '{secret}'") if not harmless(kind, found)]


def test_the_check_sees_a_token_of_ours_and_no_lookalike() -> None:
    [(kind, found)] = findings(f"token = {generate_token()}")
    assert not harmless(kind, found)
    assert harmless(kind, "pr_" + "a" * 39)
