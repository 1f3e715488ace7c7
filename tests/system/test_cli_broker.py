"""`postroom endpoint` for endpoints that are brokers."""

from __future__ import annotations

from pathlib import Path

from tests.processes.commands import Ended, run


def test_the_login_of_a_broker_comes_from_a_file_and_is_printed_nowhere(dsn: str, tmp_path: Path) -> None:
    def cli(*arguments: str, **more: str) -> Ended:
        settings = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path / "state"), **more}
        return run("postroom", *arguments, home=tmp_path, settings=settings)

    allowed = {"POSTROOM_WEBHOOK__BROKERS": '{"nats://192.0.2.1:4222": ["acme"]}'}
    allowed["POSTROOM_WEBHOOK__ALLOW_PRIVATE"] = "true"
    login, url = tmp_path / "login", "nats://192.0.2.1:4222/orders"
    login.write_text("ann:example-one\n")
    create = ("endpoint", "create", "--url", url, "--secret-file", str(login), "--tenant")
    made = cli(*create, "acme", **allowed)
    assert made.code == 0, made.err
    assert cli(*create, "eve", **allowed).code == 2
    identity = made.out.split()[1].rstrip(".")
    login.write_text("ann:example-two\n")
    rotated = cli("endpoint", "rotate", identity, "--secret-file", str(login), "--json")
    assert rotated.json["secret"] == ""
    assert "example-" not in made.out + made.err + rotated.out
