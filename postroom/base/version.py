"""Which release this is, and where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

VERSION: Final = "0.1.0"
PACKAGE: Final = Path(__file__).resolve().parents[1]
"""The folder `postroom`; in a checkout, migrations and documents lie beside it."""
