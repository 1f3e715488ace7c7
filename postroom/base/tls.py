"""Which authorities are trusted when we connect to others."""

from __future__ import annotations

import ssl
from pathlib import Path

from postroom.base.errors import SettingsInvalid


def verified_context(ca_file: Path | None, *, setting: str) -> ssl.SSLContext:
    """Trusts the authorities of this machine, and those of the file that `setting` names.

    Errors: `SettingsInvalid`.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError):
            raise SettingsInvalid([f"{setting}: no readable file with certificates in PEM"]) from None
    return context
