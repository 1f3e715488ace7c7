"""The plan of a run: which fault, when, on what and for how long. Pure: one seed, one plan."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What can be done to a running installation."""

    RUNNER_KILLED = "runner_killed"
    RUNNER_FROZEN = "runner_frozen"
    API_KILLED = "api_killed"
    API_FROZEN = "api_frozen"
    RECEIVER_KILLED = "receiver_killed"
    RECEIVER_FROZEN = "receiver_frozen"
    MAILBOX_KILLED = "mailbox_killed"
    MAILBOX_FROZEN = "mailbox_frozen"
    POSTMASTER_KILLED = "postmaster_killed"
    BACKENDS_KILLED = "backends_killed"
    BACKEND_FROZEN = "backend_frozen"
    DATABASE_STOPPED_AT_ONCE = "database_stopped_at_once"
    FAIL_OVER = "fail_over"
    STANDBY_KILLED = "standby_killed"
    CONNECTIONS_CUT = "connections_cut"
    CONNECTIONS_HALF_OPEN = "connections_half_open"
    NETWORK_SLOW = "network_slow"
    DISK_FULL = "disk_full"
    RECEIVERS_MISBEHAVE = "receivers_misbehave"
    MAILBOX_MISBEHAVES = "mailbox_misbehaves"
    STRIPE_AWAY = "stripe_away"
    CLOCKS_APART = "clocks_apart"


class ClusterKind(StrEnum):
    """What can be done to a cluster that Patroni runs."""

    LEADER_KILLED = "leader_killed"
    LEADER_LOST = "leader_lost"
    LEADER_FROZEN = "leader_frozen"
    LEADER_ISOLATED = "leader_isolated"
    LEADER_CUT_FROM_ETCD = "leader_cut_from_etcd"
    LEADER_DISK_FULL = "leader_disk_full"
    REPLICA_KILLED = "replica_killed"
    ETCD_MAJORITY_LOST = "etcd_majority_lost"
    SWITCHED_OVER = "switched_over"
    PROXY_RESTARTED = "proxy_restarted"


AnyKind = Kind | ClusterKind
OF_THE_DATABASE: Final = frozenset((
    Kind.POSTMASTER_KILLED, Kind.BACKENDS_KILLED, Kind.BACKEND_FROZEN, Kind.DATABASE_STOPPED_AT_ONCE,
    Kind.FAIL_OVER, Kind.STANDBY_KILLED, Kind.CONNECTIONS_CUT, Kind.CONNECTIONS_HALF_OPEN, Kind.NETWORK_SLOW,
))  # fmt: skip
"""What is done to a database and the way there; a cluster has its own list."""

# A leader that is silent for so long has been replaced.
LONGER_THAN_TTL_S: Final = (24.0, 32.0)
# Seconds, at least and at most. A frozen runner must outlast its heartbeat, or it is no zombie.
DURATION_S: Final[Mapping[StrEnum, tuple[float, float]]] = {
    Kind.RUNNER_FROZEN: (11.0, 14.0),
    Kind.RECEIVERS_MISBEHAVE: (4.0, 8.0),
    Kind.MAILBOX_MISBEHAVES: (4.0, 8.0),
    Kind.CONNECTIONS_CUT: (0.0, 0.0),
    Kind.BACKENDS_KILLED: (0.0, 0.0),
    ClusterKind.LEADER_FROZEN: LONGER_THAN_TTL_S,
    ClusterKind.LEADER_ISOLATED: LONGER_THAN_TTL_S,
    ClusterKind.LEADER_CUT_FROM_ETCD: LONGER_THAN_TTL_S,
    ClusterKind.ETCD_MAJORITY_LOST: LONGER_THAN_TTL_S,
    ClusterKind.LEADER_DISK_FULL: (15.0, 30.0),
    ClusterKind.REPLICA_KILLED: (5.0, 12.0),
}
DURATION_DEFAULT_S: Final = (1.0, 4.0)
GAP_S: Final = (0.5, 3.0)
CALM_AT_START_S: Final = 2.0

# The clocks of two runners are wrong from the start to the end, so no moment is planned for it.
STANDING: Final = (Kind.CLOCKS_APART,)


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault. `target` picks among equals; `draw` is in [0, 1) for what else the fault must choose."""

    kind: AnyKind
    at_s: float
    duration_s: float
    target: int
    draw: float


Act = Callable[[Planned], Awaitable[bool]]
"""Inflicts one fault. Returns when it is over, and whether it could be inflicted at all."""


def make_plan(seed: int, *, length_s: float, possible: Sequence[AnyKind]) -> tuple[Planned, ...]:
    """Faults from the start to `length_s`, overlapping where they may.

    Each kind that is possible comes once before any comes again.
    """
    dice = random.Random(seed)
    planned: list[Planned] = []
    at_s, deck = CALM_AT_START_S, list[AnyKind]()
    while True:
        if not deck:
            deck = [kind for kind in possible if kind not in STANDING]
            dice.shuffle(deck)
        kind = deck.pop()
        fault = Planned(
            kind=kind,
            at_s=round(at_s, 2),
            duration_s=round(dice.uniform(*DURATION_S.get(kind, DURATION_DEFAULT_S)), 2),
            target=dice.randrange(1_000),
            draw=dice.random(),
        )
        at_s += dice.uniform(*GAP_S)
        if at_s > length_s:
            return tuple(planned)
        planned.append(fault)
