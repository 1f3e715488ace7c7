"""What somebody answered over HTTP, read to its end, however many pieces it comes in."""

from __future__ import annotations

import aiohttp

from postroom.base.errors import Unavailable


async def read_answer(answer: aiohttp.ClientResponse, *, bytes_max: int) -> bytes:
    """The whole body. Errors: `Unavailable` beyond `bytes_max`, of which no more is read."""
    held = b""
    async for chunk in answer.content.iter_any():
        held += chunk
        if len(held) > bytes_max:
            raise Unavailable(
                f"{answer.url.host} answered with more than {bytes_max} bytes", retry_after_s=60
            )
    return held
