"""A chain as lines for the terminal."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from postroom.dev.chains import Chain
from postroom.outbox.ledger.messages import Status
from postroom.outbox.ledger.story import MessageStory
from postroom.outbox.model import Channel

CAUSE_WIDTH: Final = 34
LABEL_WIDTH: Final = 44
COLOURS: Final = {
    Status.DELIVERED: "green",
    Status.PENDING: "cyan",
    Status.RETRY: "yellow",
    Status.PARKED: "yellow",
    Status.AWAITING_BATCH: "cyan",
    Status.CANCELLED: "dim",
    Status.NO_RECEIVER: "yellow",
    Status.DEAD: "red",
}


def chain_text(chain: Chain) -> Text:
    """The cause on the first line, one line an effect below it; what was published by hand has no cause."""
    root, effects = chain.root, chain.effects
    lines = [] if root is None else [_cause(root)]
    for position, effect in enumerate(effects):
        branch = "└─" if position == len(effects) - 1 else "├─"
        lines.append(_effect(effect, _time(effect) + "   " if root is None else f"          {branch} "))
    return Text("\n").join(lines)


def _cause(story: MessageStory) -> Text:
    event_id = (story.message.key or "").rpartition(":")[2]
    return Text.assemble(
        (f"{_time(story)}  ", "dim"),
        (f"{story.message.type:{CAUSE_WIDTH}}", "bold"),
        (f"{event_id}  ", "dim"),
        (_mirror_state(story), COLOURS[story.message.status]),
    )


def _effect(story: MessageStory, lead: str) -> Text:
    return Text.assemble(
        (lead, "dim"),
        f"{story.message.channel:8} ",
        f"{_label(story):{LABEL_WIDTH}} ",
        (_mirror_state(story), COLOURS[story.message.status]),
    )


def _time(story: MessageStory) -> str:
    return f"{story.message.created_at.astimezone():%H:%M:%S}"


def _label(story: MessageStory) -> str:
    payload = story.payload if isinstance(story.payload, dict) else {}
    match story.message.channel:
        case Channel.EMAIL:
            words, address = payload.get("template") or payload.get("subject"), payload.get("to")
            label = f"{words} → {address}"
        case Channel.WEBHOOK:
            label = f"{story.message.type} → {payload.get('url') or story.message.tenant}"
        case Channel.STRIPE_API:
            label = f"{payload.get('method')} {payload.get('path')}"
        case Channel.TASK:
            label = str(payload.get("task"))
        case _:
            label = str(payload.get("dataset"))
    return label if len(label) <= LABEL_WIDTH else label[: LABEL_WIDTH - 1] + "…"


def _mirror_state(story: MessageStory) -> str:
    """Where the message stands, in a few words."""
    match story.message.status:
        case Status.DELIVERED if story.message.channel == Channel.STRIPE:
            last = story.attempts[-1]
            return f"{last.detail or 'processed'} in {last.duration_ms or 0} ms"
        case Status.NO_RECEIVER:
            return "no endpoint listens"
        case Status.DELIVERED:
            return _delivered(story)
        case Status.DEAD:
            return f"dead: {story.dead_letters[0].reason}  (postroom replay {story.message.id})"
        case Status.PARKED:
            return "waits: the endpoint is parked"
        case Status.AWAITING_BATCH:
            return "awaits the end of its batch"
        case Status.CANCELLED:
            return "cancelled"
        case Status.PENDING | Status.RETRY:
            return _under_way(story)


def _delivered(story: MessageStory) -> str:
    last = story.attempts[-1]
    attempt = f", attempt {last.attempt}" if last.attempt > 1 else ""
    code = f" {last.code}" if last.code else ""
    took = "" if last.duration_ms is None else f" in {last.duration_ms} ms"
    return f"delivered{code}{took}{attempt}"


def _under_way(story: MessageStory) -> str:
    delivery = story.open_deliveries[0] if story.open_deliveries else None
    if delivery is None or delivery.worker is not None:
        return "on its way"
    if delivery.last_reason:
        due = f", again at {delivery.due_at.astimezone():%H:%M:%S}" if delivery.due_at else ""
        return f"{delivery.last_reason}{due}"
    return "waiting"
