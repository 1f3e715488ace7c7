"""What an account of Stripe is called here. Without a library: applications that write handlers have none."""

from __future__ import annotations

from typing import Final

OWN_ACCOUNT: Final = "self"
"""The account of the settings without a name."""
