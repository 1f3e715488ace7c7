"""/v1/admin/circuits: every breaker that is not closed, and a hand to hold or release one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from postroom.admin import circuits
from postroom.admin.circuits import NAME_LENGTH_MAX, REASON_LENGTH_MAX, Force
from postroom.api.admin.callers import CircuitHolder, GuardedRoute, Reader
from postroom.api.context import ContextDependency
from postroom.resilience import store
from postroom.resilience.store import Circuit

router = APIRouter(prefix="/v1/admin/circuits", tags=["circuits"], route_class=GuardedRoute)


class CircuitList(BaseModel):
    circuits: list[Circuit]


class CircuitChange(BaseModel):
    """`open` and `closed` hold it there until `release`."""

    model_config = ConfigDict(extra="forbid")

    action: Force
    reason: str = Field(default="", max_length=REASON_LENGTH_MAX)


class CircuitChanged(BaseModel):
    name: str
    action: str


@router.get("")
async def list_circuits(context: ContextDependency, _: Reader) -> CircuitList:
    """`stripe` and `email` always; breakers of single destinations while they are not closed."""
    async with context.snapshot() as conn:
        return CircuitList(circuits=await store.list_circuits(conn))


@router.post("/{name:path}")
async def change_circuit(
    name: Annotated[str, Path(min_length=1, max_length=NAME_LENGTH_MAX)],
    body: CircuitChange,
    context: ContextDependency,
    caller: CircuitHolder,
) -> CircuitChanged:
    """Hold a breaker open or closed, or release it (it is then closed)."""
    async with context.transaction() as conn:
        await circuits.force(conn, name, body.action, reason=body.reason, actor=caller)
    return CircuitChanged(name=name, action=body.action)
