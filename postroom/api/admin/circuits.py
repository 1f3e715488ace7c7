"""/v1/admin/circuits: every breaker that is not closed, and a hand to hold or release one."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from postroom.admin import audit
from postroom.api.admin.callers import CircuitHolder, Reader
from postroom.api.context import ContextDependency
from postroom.resilience import store
from postroom.resilience.breaker import CircuitState
from postroom.resilience.store import Circuit

router = APIRouter(prefix="/v1/admin/circuits", tags=["circuits"])


class CircuitList(BaseModel):
    circuits: list[Circuit]


class CircuitChange(BaseModel):
    """`open` and `closed` hold it there until `release`."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["open", "closed", "release"]
    reason: str = Field(default="", max_length=500)


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
    name: Annotated[str, Path(min_length=1, max_length=200)],
    body: CircuitChange,
    context: ContextDependency,
    caller: CircuitHolder,
) -> CircuitChanged:
    """Hold a breaker open or closed, or release it (it is then closed)."""
    state = None if body.action == "release" else CircuitState(body.action)
    async with context.transaction() as conn:
        await store.mark_forced(
            conn, name=name, state=state, reason=body.reason or f"{body.action} by {caller.actor}"
        )
        await audit.record(
            conn,
            actor=caller.actor,
            action=f"circuit.{body.action}",
            subject=name,
            detail={"reason": body.reason},
            request_id=caller.request_id,
        )
    return CircuitChanged(name=name, action=body.action)
