"""Who signs in to the database with more than its work needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from postroom.base.db import Connection, query

_EXCESS = query(__package__, "list_role_excess")


class Process(StrEnum):
    API = "api"
    RUNNER = "runner"


class Privilege(StrEnum):
    """What no process needs. A superuser has the others, too, and is called nothing else.

    `owner`: of the schema. `server`: may read or write the server's files, or run its programs.
    """

    SUPERUSER = "superuser"
    OWNER = "owner"
    CREATEROLE = "createrole"
    BYPASSRLS = "bypassrls"
    REPLICATION = "replication"
    SERVER = "server"


MEANS: Final = {
    Privilege.SUPERUSER: "is a superuser",
    Privilege.OWNER: "owns the schema",
    Privilege.CREATEROLE: "may create roles",
    Privilege.BYPASSRLS: "bypasses row security",
    Privilege.REPLICATION: "may replicate the server",
    Privilege.SERVER: "may use the server's files and programs",
}


@dataclass(frozen=True, slots=True)
class RoleExcess:
    """One login of one kind of process that has privileges which it should not have."""

    process: Process
    role: str
    privileges: tuple[Privilege, ...]

    @property
    def text(self) -> str:
        may = " and ".join(MEANS[each] for each in self.privileges)
        return f"The {self.process} signs in to the database as {self.role}, which {may}."


async def list_role_excess(conn: Connection, *, silent_s: float, timeout_s: float) -> list[RoleExcess]:
    """Those of the API and of the workers that were heard within `silent_s`; none is as it should be.

    Does not promise: what a role was granted on tables by hand. Transaction: the caller's.
    """
    rows = await conn.fetch(_EXCESS, silent_s, timeout=timeout_s)
    return [
        RoleExcess(Process(row["process"]), row["role"], tuple(map(Privilege, row["privileges"])))
        for row in rows
        if row["privileges"]
    ]
