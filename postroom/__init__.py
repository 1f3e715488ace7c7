"""Postroom: if your transaction commits, its side effect happens, or a person is told.

What is exported here is the public API; everything else may change in any release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postroom.base.version import VERSION as __version__

if TYPE_CHECKING:
    from postroom.channels.stripe.event import Event
    from postroom.channels.stripe.handlers import on
    from postroom.channels.stripe.transaction import Transaction

__all__ = ["Event", "Transaction", "__version__", "on"]


def __getattr__(name: str) -> object:
    # On first use: whoever only asks for the version pays for nothing else.
    if name not in __all__:
        raise AttributeError(f"module 'postroom' has no attribute {name!r}")
    from postroom.channels.stripe import event, handlers, transaction

    public: dict[str, object] = {
        "Event": event.Event, "Transaction": transaction.Transaction, "on": handlers.on
    }  # fmt: skip
    return public[name]
