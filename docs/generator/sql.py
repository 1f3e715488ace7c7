"""The SQL functions: as a migrated database has them, with the comments of `migrations/sql`."""

from __future__ import annotations

import re
from typing import Final

from asyncpg import Connection

from docs.generator.pages import ROOT, sentence, table

ROLE: Final = "postroom_publisher"
FUNCTIONS: Final = """
    select p.proname as name, pg_get_function_arguments(p.oid) as arguments,
        pg_get_function_result(p.oid) as result,
        has_schema_privilege($1, n.oid, 'usage') and has_function_privilege($1, p.oid, 'execute') as granted
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'postroom' and p.prorettype <> 'trigger'::regtype
    order by p.proname
"""
_COMMENTED: Final = re.compile(
    r"((?:^--.*\n)+)^create (?:or replace )?function postroom\.(\w+)", re.MULTILINE
)


async def sql_block(conn: Connection) -> str:
    """Those that the role may call in full, the others in a table."""
    comments = {
        name: sentence(comment.replace("--", " "))
        for path in sorted((ROOT / "migrations" / "sql").glob("*.sql"))
        for comment, name in _COMMENTED.findall(path.read_text(encoding="utf-8"))
    }
    functions = await conn.fetch(FUNCTIONS, ROLE)
    parts = [
        f"## postroom.{each['name']}\n{comments[each['name']]}\n\n"
        f"```sql\npostroom.{each['name']}({_arguments(each['arguments'])})\n"
        f"    returns {each['result']}\n```\n\n"
        f"Granted to `{ROLE}`."
        for each in functions
        if each["granted"]
    ]
    rows = [
        (f"`{each['name']}({each['arguments']})`", f"`{each['result']}`", comments.get(each["name"], ""))
        for each in functions
        if not each["granted"]
    ]
    inner = table(("function", "returns", "what it does"), rows)
    return "\n\n".join(
        (
            *parts,
            f"## Internal\nPostroom's own processes call these. They may change in any release.\n\n{inner}",
        )
    )


def _arguments(arguments: str) -> str:
    """One a line, as long as there are several."""
    several = re.split(r", (?=\w+ \w)", arguments.replace("::text", ""))
    return "\n    " + ",\n    ".join(several) + "\n" if len(several) > 1 else arguments
