"""What a failed write means."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from postroom.channels.exports.destinations import PlaceEmpty
from postroom.channels.exports.failures import STORAGE_ERRORS, answer_failure
from postroom.channels.exports.storage import open_storage
from postroom.outbox.model import Cause, Trip


@pytest.mark.parametrize(
    ("error", "cause", "trip", "code"),
    [
        (PermissionDeniedError("no"), Cause.OURS, Trip.NOW, "forbidden"),
        (UnauthenticatedError("no"), Cause.OURS, Trip.NOW, "forbidden"),
        (GenericError("cannot copy: No space left (os error 28)"), Cause.OURS, Trip.STRIKE, "ENOSPC"),
        (OSError(122, "quota"), Cause.OURS, Trip.STRIKE, "EDQUOT"),
        (GenericError("denied (os error 13)"), Cause.OURS, Trip.NOW, "EACCES"),
        (FileNotFoundError("no bucket"), Cause.OURS, Trip.STRIKE, "not_found"),
        (PlaceEmpty("mount it"), Cause.OURS, Trip.NOW, "place_empty"),
        (TimeoutError(), Cause.PASSING, Trip.STRIKE, "timeout"),
        (GenericError("HTTP error: operation timed out"), Cause.PASSING, Trip.STRIKE, "timeout"),
        (GenericError("503, retry_timeout:20s"), Cause.PASSING, Trip.STRIKE, "storage"),
        (OSError(5, "io"), Cause.PASSING, Trip.STRIKE, "EIO"),
    ],
)
def test_whose_fault_it_is(error: Exception, cause: Cause, trip: Trip, code: str) -> None:
    answer = answer_failure(error)
    assert (answer.cause, answer.trip, answer.code) == (cause, trip, code)


def test_the_reason_is_one_short_line_without_secrets() -> None:
    secret = "https://user:hunter2@host/"  # the form that a url in an error may have
    answer = answer_failure(GenericError(f"failed at {secret} {'x' * 9_000}\n\nDebug source: inside"))
    assert "hunter2" not in answer.reason
    assert "Debug" not in answer.reason
    assert len(answer.reason) < 400


@contextmanager
def s3_that_answers(status: int, code: str) -> Iterator[str]:
    """Its url; each request gets this error, written as S3 writes it."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>No.</Message></Error>'

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "code", "cause", "trip"),
    [
        (400, "ExpiredToken", Cause.OURS, Trip.NOW),
        (400, "InvalidToken", Cause.OURS, Trip.NOW),
        (400, "TokenRefreshRequired", Cause.OURS, Trip.NOW),
        (403, "AccessDenied", Cause.OURS, Trip.NOW),
        (400, "IncompleteBody", Cause.PASSING, Trip.STRIKE),
    ],
)
async def test_credentials_that_s3_refuses_are_ours_whatever_the_status(
    status: int, code: str, cause: Cause, trip: Trip, tmp_path: Path
) -> None:
    """No stand-in for S3 has tokens that expire, so obstore is given the answer that AWS documents."""
    with s3_that_answers(status, code) as endpoint:
        options = {
            "endpoint": endpoint,
            "region": "us-east-1",
            "access_key_id": "k",
            "secret_access_key": "s",
        }
        with pytest.raises(STORAGE_ERRORS) as failed:
            await open_storage("s3://bucket", options, tmp_path).put("a", b"x")
    answer = answer_failure(failed.value)
    assert (answer.cause, answer.trip) == (cause, trip), answer.reason
    assert status == 403 or cause is Cause.PASSING or code in answer.reason
