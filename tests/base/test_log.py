"""No secret reaches a log line, whatever it lies in."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

import pytest
import structlog

from postroom.base.log import configure_logging, get_logger, remove_secrets

SECRET = "hunter2Planted"


@contextmanager
def json_log() -> Iterator[io.StringIO]:
    """What the log writes, as in a process of ours."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    written = io.StringIO()
    with redirect_stderr(written):
        configure_logging(json_lines=True)
        try:
            yield written
        finally:
            root.handlers = handlers
            root.setLevel(level)
            structlog.reset_defaults()


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://post:{SECRET}@db/postroom",
        f"smtp://:{SECRET}@mail.example.com:25",
        f"postgresql://db/postroom?user=post&password={SECRET}&sslmode=require",
        f"host=db user=post password={SECRET} dbname=postroom",
        f"ALTER ROLE post PASSWORD '{SECRET}'",
        f"whsec_{SECRET}",
        f"refused sk_live_{SECRET}",
        f"new row violates a constraint\nDETAIL:  Failing row contains ({SECRET}).",
    ],
)
def test_a_secret_is_taken_out_and_the_rest_stays(text: str) -> None:
    told = remove_secrets(text)
    assert SECRET not in told
    assert "[removed]" in told
    assert remove_secrets("password was refused for user post") == "password was refused for user post"


@pytest.mark.parametrize(
    "value",
    [
        f"whsec_{SECRET}",
        [f"whsec_{SECRET}"],
        {"headers": {"Authorization": SECRET}},
        {"deep": [{"url": f"smtp://a:{SECRET}@b"}]},
        RuntimeError(f"no login with whsec_{SECRET}"),
    ],
    ids=["text", "list", "by name", "deep", "exception"],
)
def test_a_line_holds_no_secret(value: object) -> None:
    with json_log() as written:
        get_logger("test").warning("some.event", value=value, count=3)
    line = json.loads(written.getvalue())
    assert SECRET not in json.dumps(line)
    assert (line["event"], line["count"]) == ("some.event", 3)


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "caf\u00e9",
        "\x9b31m\x1b[2J",
        "a\u2028b\nc",
        "half \ud800",
        2**80,
        0.5,
        None,
        {"deep": ["\u2029"]},
    ],
)
def test_a_line_is_one_line_of_ascii_whatever_it_tells(value: object) -> None:
    with json_log() as written:
        get_logger("test").info("some.event", value=value)
    [line] = written.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["value"] == value
    assert '"event": "some.event"' in line, "one form, however it was written"


def fail() -> None:
    raise RuntimeError(f"whsec_{SECRET}")


def test_a_traceback_and_other_peoples_lines_hold_no_secret() -> None:
    with json_log() as written:
        try:
            fail()
        except RuntimeError:
            get_logger("test").exception("some.event")
        logging.getLogger("somebody").warning("connecting to %s", f"smtp://a:{SECRET}@b")
    assert len(written.getvalue().splitlines()) == 2
    assert SECRET not in written.getvalue()
