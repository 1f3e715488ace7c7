"""nats-py: TLS where it was asked for, whatever the server says.

The server speaks first, in plain text, and says whether it needs TLS. Where it says no, or whoever is in
between, the client of version 2.16 goes on in plain text, with the login, even when it was given a context.
"""

from __future__ import annotations

from typing import Any

from nats.aio.client import Client


class TlsClient(Client):
    """Promise: it sends nothing in plain text. With a server that has no TLS, `connect` fails.

    There is no public way to say this, so `_process_info` is overridden, which is not public: what it is
    given is what the client reads then.
    """

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        info["tls_required"] = True
        await super()._process_info(info, initial_connection)
