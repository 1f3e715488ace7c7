"""What `postroom up` shows while it starts: one line a step, calm on a terminal and in a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.text import Text

LABEL_WIDTH: Final = 12


class Screen:
    """Prints as it goes; keeps nothing."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A spinner while something takes time; nothing where there is no terminal."""
        with self.console.status(f"{text} …"):
            yield

    def done(self, label: str, text: str) -> None:
        """One thing that is there now."""
        self.console.print(Text.assemble(("✓ ", "green"), (f"{label:{LABEL_WIDTH}}", "bold"), text))

    def row(self, label: str, text: str) -> None:
        self.console.print(Text.assemble("  ", (f"{label:{LABEL_WIDTH}}", "bold"), text))

    def say(self, text: str = "") -> None:
        self.console.print(Text(text))

    def fail(self, text: str) -> None:
        self.console.print(Text.assemble(("✗ ", "red"), text))
