"""`make reference`: every page of docs/reference made anew, from the code and from a database of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from docs.generator.pages import FOLDER
from docs.generator.reference import reference
from postroom.base.migrate import migrate
from postroom.postgres.server import LocalPostgres


def main() -> None:
    with TemporaryDirectory() as folder, LocalPostgres(Path(folder)) as server:
        asyncio.run(migrate(server.dsn, roles=True))
        made = asyncio.run(reference(server.dsn, Path(folder)))
    for name, text in made.items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"docs/reference/{name} is new")


main()
