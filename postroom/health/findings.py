"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's screen; `command` mends it, or shows more. Holds no secret."""

    level: Level
    subject: str
    text: str
    command: str | None = None


def ok(subject: str, text: str) -> Finding:
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str, command: str | None = None) -> Finding:
    return Finding(Level.WARNING, subject, text, command)


def error(subject: str, text: str, command: str | None = None) -> Finding:
    return Finding(Level.ERROR, subject, text, command)
