"""What each role of a database may do: as a migrated database has it in its access lists."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from asyncpg import Connection

from docs.generator.pages import table

PARTS: Final = ("runner", "api", "reader", "publisher", "PUBLIC")
STATEMENTS: Final = {
    "table": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"),
    "view": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "column": ("SELECT", "INSERT", "UPDATE", "REFERENCES"),
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "function": ("EXECUTE",),
    "schema": ("USAGE", "CREATE"),
}
# A day of the attempt log has no grants of its own: it is reached through the log. Views that are generated
# share theirs.
GRANTS: Final = """
with ours (id, prefix) as (
    select oid, case nspname when 'postroom' then '' else nspname || '.' end
    from pg_namespace where nspname in ('postroom', 'stripe')
), object (kind, name, owner, acl) as (
    select case relkind when 'S' then 'sequence' when 'v' then 'view' else 'table' end,
        prefix || case when obj_description(oid, 'pg_class') like 'Generated: %' then '*' else relname end,
        relowner,
        coalesce(relacl, acldefault(case relkind when 'S' then 's'::"char" else 'r'::"char" end, relowner))
    from pg_class join ours on ours.id = relnamespace
    where relkind in ('r', 'p', 'v', 'm', 'S') and not (relispartition and relname ~ '^attempt_[0-9]{8}$')
    union all
    select 'function', prefix || proname || '(' || pg_get_function_identity_arguments(oid) || ')',
        proowner, coalesce(proacl, acldefault('f', proowner))
    from pg_proc join ours on ours.id = pronamespace
    union all
    select 'column', ours.prefix || c.relname || '.' || a.attname, c.relowner, a.attacl
    from pg_attribute a join pg_class c on c.oid = a.attrelid join ours on ours.id = c.relnamespace
    where a.attacl is not null
    union all
    select 'schema', nspname, nspowner, coalesce(nspacl, acldefault('n', nspowner))
    from pg_namespace join ours on ours.id = oid
)
select o.kind, o.name::text, g.part, g.privilege
from object o
left join lateral (
    select case a.grantee when 0 then 'PUBLIC'
            else substring(pg_get_userbyid(a.grantee) from '^postroom_([a-z]+)') end as part,
        a.privilege_type as privilege
    from aclexplode(o.acl) a where a.grantee <> o.owner
) g on true
order by o.kind, o.name"""


async def roles_block(conn: Connection) -> str:
    """A table for each kind of object: each statement that there is, and who may run it."""
    held: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in await conn.fetch(GRANTS):
        of_object = held[row["kind"], row["name"]]
        if row["part"] is not None:
            of_object[row["part"]].add(row["privilege"])
    strangers = {part for of_object in held.values() for part in of_object} - set(PARTS)
    if strangers:
        raise RuntimeError(f"roles that nobody has described have grants: {strangers}")
    return "\n\n".join(_table(kind, held) for kind in STATEMENTS)


def _table(kind: str, held: dict[tuple[str, str], dict[str, set[str]]]) -> str:
    rows = [
        (f"`{name}`", *(_cell(kind, of_object[part]) for part in PARTS))
        for (found, name), of_object in held.items()
        if found == kind
    ]
    statements = ", ".join(each.lower() for each in STATEMENTS[kind])
    return f"## {kind.capitalize()}s: {statements}\n{table((kind, *PARTS), rows)}"


def _cell(kind: str, privileges: set[str]) -> str:
    """In the order of the statements. Errors: `RuntimeError` for one that no heading names."""
    if privileges - set(STATEMENTS[kind]):
        raise RuntimeError(f"privileges that nobody has described: {privileges - set(STATEMENTS[kind])}")
    return ", ".join(each.lower() for each in STATEMENTS[kind] if each in privileges) or "–"
