"""Which statements a process of several ledgers made: on whose behalf each, and in which database it ran.

On whose behalf is what its log lines say by then, and no pool knows of that: a statement that reaches the
database of another ledger, by whichever mistake, is counted as one across ledgers.
"""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog

from postroom.base.db import query

FOLDER: Final = "STATEMENTS_FOLDER"
ROOT: Final = Path(__file__).resolve().parents[2]
FOR_ALL: Final = query("postroom.ledgers", "read_directory")
"""Read for all requests, before one is of a ledger."""
SCHEMA: Final = "postroom."


def counting(folder: Path) -> dict[str, str]:
    """Settings with which a process, and those that it starts, leave their counts in this folder."""
    (folder / "sitecustomize.py").write_text("from tests.processes.statements import count\n\ncount()\n")
    return {FOLDER: str(folder), "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}


def count() -> None:
    """Count the statements of this process from now on."""
    counts = Counter[tuple[str, str, str]]()

    def note(asked: Any) -> None:
        ledger = structlog.contextvars.get_contextvars().get("ledger", "")
        counts[ledger, asked.conn_params.database, "" if ledger else asked.query] += 1

    def leave() -> None:
        rows = [[*key, number] for key, number in counts.items()]
        (Path(os.environ[FOLDER]) / f"{os.getpid()}.json").write_text(json.dumps(rows))

    original = asyncpg.Connection.__init__

    def watched(connection: Any, *args: Any, **options: Any) -> None:
        original(connection, *args, **options)
        connection.add_query_logger(note)

    asyncpg.Connection.__init__ = watched  # type: ignore[method-assign, assignment]
    atexit.register(leave)


@dataclass(frozen=True, slots=True)
class Statements:
    """`across`: for one ledger in the database of another.

    `nobodys`: for none, though they name our tables; but for the look at the directory.
    """

    processes: int
    own: int
    across: int
    nobodys: dict[str, int]


def counted(folder: Path, databases: Mapping[str, str]) -> Statements:
    """What all processes that have ended left. `databases`: the name of each ledger's."""
    files = [rows for path in folder.glob("*.json") if (rows := json.loads(path.read_text()))]
    own = across = 0
    nobodys = Counter[str]()
    for ledger, database, text, number in (row for rows in files for row in rows):
        if not ledger:
            nobodys[text] += number
        elif databases[ledger] == database:
            own += number
        else:
            across += number
    others = {text: number for text, number in nobodys.items() if SCHEMA in text and text != FOR_ALL}
    return Statements(len(files), own, across, others)
