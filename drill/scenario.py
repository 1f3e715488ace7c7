"""One fault, the alerts that must follow, and how the outside world gets well again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from drill.installation import Installation
from drill.traffic import Traffic
from drill.watch import Watch


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault works with."""

    installation: Installation
    watch: Watch
    traffic: Traffic
    leftovers: ExitStack
    """What a fault holds on to and must let go of in the end."""


Step = Callable[[Scene], Awaitable[None]]
Variables = Callable[[Scene], Awaitable[Mapping[str, str]]]


async def nothing(_: Scene) -> None:
    """What is broken is mended by the page alone."""


async def no_variables(_: Scene) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Scenario:
    """`break_it` breaks a real thing. `mend_outside` is what others do (a provider, a customer, a colleague).

    `variables`: what a person has decided before they paste the page's commands. `also`: alerts that the
    fault may raise besides. `labels`: which one is meant, where an alert can fire several times. `alone`:
    nothing else is broken meanwhile. `impossible`: why it cannot be tried on this machine, or None.
    """

    name: str
    fault: str
    alerts: tuple[str, ...]
    break_it: Step
    mend_outside: Step = nothing
    variables: Variables = no_variables
    also: frozenset[str] = field(default_factory=frozenset)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    alone: bool = False
    quick: bool = False
    impossible: Callable[[], str | None] = lambda: None
