"""aiosmtplib: the body of a mail is written apart from the command DATA.

Its own `data()` cannot tell "lost before the body" from "lost after it", and that difference decides
between trying again and not knowing.
"""

from __future__ import annotations

import re

from aiosmtplib import SMTP, SMTPDataError, SMTPResponse, SMTPServerDisconnected
from aiosmtplib.protocol import SMTPProtocol, normalize_message_line_endings

_LEADING_DOT = re.compile(rb"(?m)^\.")


async def start_body(client: SMTP) -> SMTPProtocol:
    """Ask the server to take a body. Errors: `SMTPException`; nobody has been mailed then."""
    go_ahead = await client.execute_command(b"DATA")
    if go_ahead.code != 354:
        raise SMTPDataError(go_ahead.code, go_ahead.message)
    if client.protocol is None:
        raise SMTPServerDisconnected("the connection was lost")
    return client.protocol


async def send_body(protocol: SMTPProtocol, body: bytes) -> SMTPResponse:
    """Write the body and its end. Returns: what the server says to it."""
    protocol.write(_LEADING_DOT.sub(b"..", normalize_message_line_endings(body)) + b".\r\n")
    return await protocol.read_response()
