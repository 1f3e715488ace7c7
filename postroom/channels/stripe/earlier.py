"""What an event that is processed again has sent before, so that a new name sends nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from postroom.channels.stripe.routes import Draft, Route

HANDLER: Final = "handler/"
"""Before a handler's name in the keys of its messages; no route's name starts with it."""

Sent = tuple[str, str]
"""A channel, and what a message's key has after the event: `route:channel` or `handler/name:key`."""


class Renamed(Exception):
    """A message may have been sent before under a name that is gone; the text says how to decide it."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The messages of earlier processings. `gone`: those of routes and handlers that are no more.

    Promise: of a route or handler that was renamed nothing is sent again; it is refused where it could be.
    Does not promise: to know messages that retention has removed.
    """

    sent: frozenset[Sent] = frozenset()
    gone: Sequence[Sent] = ()

    def knows(self, route: Route, draft: Draft) -> bool:
        """Whether this message was sent under a former name of its route, or before the route had a key."""
        names = route.formerly if draft.key is None else (route.name, *route.formerly)
        return any((draft.channel, f"{name}:{draft.channel}") in self.sent for name in names)

    def check(self, channel: str, name: str) -> None:
        """Errors: `Renamed` for a new message of a channel on which somebody who is gone sent one."""
        if (channel, name) in self.sent:
            return
        for gone_channel, gone in self.gone:
            if gone_channel == channel:
                raise Renamed(_advice(channel, source(name), source(gone)))


NOTHING_EARLIER: Final = Earlier()


def source(name: str) -> str:
    """Whose message it is, from what its key has after the event. What a handler names may hold any text."""
    return name.partition(":")[0]


def _advice(channel: str, new: str, gone: str) -> str:
    told = f"{new} would send an {channel} message, and '{gone}', which is no more, sent one for this event. "
    if gone.startswith(HANDLER):
        return told + f'If that was this handler, name it again: @on(…, name="{gone.removeprefix(HANDLER)}")'
    return told + (
        f'If it is the same message, write formerly = ["{gone}"] in its route; '
        f'if it is another one, keep a route of that name with when = "{{{{ false }}}}"'
    )
