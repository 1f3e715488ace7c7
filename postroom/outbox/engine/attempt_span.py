"""An attempt as a span, linked to whoever published what is being delivered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from postroom.base.tracing import attempt_span
from postroom.outbox.model import Answer, Claim

Try = Callable[[Sequence[Claim]], Awaitable[Sequence[Answer]]]


async def traced(attempt: Try, claims: Sequence[Claim]) -> Sequence[Answer]:
    """Make the attempt inside a span. Ids and outcomes only: never payloads, never what a receiver said."""
    links = [claim.traceparent for claim in claims]
    with attempt_span(f"deliver {claims[0].channel}", links, _attributes(claims)) as span:
        answers = await attempt(claims)
        span.set_attribute("postroom.outcomes", sorted({type(answer).__name__ for answer in answers}))
    return answers


def _attributes(claims: Sequence[Claim]) -> dict[str, str | int | Sequence[str]]:
    shared: dict[str, str | int | Sequence[str]] = {
        "messaging.system": "postroom",
        "messaging.operation.type": "process",
        "messaging.destination.name": claims[0].channel,
        "messaging.batch.message_count": len(claims),
    }
    if len(claims) > 1:
        return {**shared, "postroom.message_ids": [str(claim.message_id) for claim in claims]}
    [claim] = claims
    return {
        **shared,
        "messaging.message.id": str(claim.message_id),
        "messaging.message.conversation_id": claim.correlation_id,
        "postroom.attempt": claim.attempts + 1,
    }
