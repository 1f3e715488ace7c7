"""What is done to a cluster, one thing after the other, and how long no write was acknowledged meanwhile."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Final

from chaos.cluster import Cluster, Node, wipe
from chaos.faults import BALLAST, fill
from chaos.link import Link
from chaos.plan import ClusterKind, Planned
from chaos.report import RecoveryTime, recovery_time
from postroom.base.db import DATABASE_FAILURES, Pool, open_pool

WRITES_WITHIN_S: Final = 120.0
WRITE_S: Final = 3.0
BEAT_S: Final = 0.1
AGAIN_S: Final = 0.5
HALF: Final = 0.5
BEATS: Final = "create table if not exists public.chaos_beat (n bigint primary key)"
BEAT: Final = "insert into public.chaos_beat (n) values ($1)"
MISSING: Final = (
    "select a.n from unnest($1::bigint[]) as a(n)"
    " where not exists (select from public.chaos_beat b where b.n = a.n)"
)


class Beats:
    """One small write after the other, as an application does, and when each was acknowledged."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._count = 0
        self._acknowledged: list[int] = []
        self._times: list[float] = []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._count += 1
            with suppress(*DATABASE_FAILURES):
                await self._pool.execute(BEAT, self._count, timeout=WRITE_S)
                self._acknowledged.append(self._count)
                self._times.append(time.monotonic())
            await asyncio.sleep(BEAT_S)

    async def longest_pause_s(self, since: float) -> float:
        """The longest time without one, until one is acknowledged again. Errors: `TimeoutError`."""
        now = time.monotonic()
        async with asyncio.timeout(WRITES_WITHIN_S):
            while not self._times or self._times[-1] < now:
                await asyncio.sleep(BEAT_S)
        before = [at for at in self._times if at <= since][-1:]
        times = before + [at for at in self._times if at > since]
        return round(max((b - a for a, b in pairwise(times)), default=0.0), 2)

    async def missing(self, pool: Pool) -> list[int]:
        """What was acknowledged and is not there."""
        return [row["n"] for row in await pool.fetch(MISSING, self._acknowledged)]


class ClusterFaults:
    """`inflict` returns when the fault is over and the cluster whole again, and whether it was inflicted."""

    def __init__(self, cluster: Cluster, beats: Beats) -> None:
        self._cluster = cluster
        self.beats = beats
        self._stopped_s: dict[str, list[float]] = defaultdict(list)
        self._acts: dict[str, Callable[[Planned, Node, Node], Awaitable[bool]]] = {
            ClusterKind.LEADER_KILLED: self._kill_leader,
            ClusterKind.LEADER_LOST: self._lose_leader,
            ClusterKind.LEADER_FROZEN: self._freeze_leader,
            ClusterKind.LEADER_ISOLATED: self._isolate_leader,
            ClusterKind.LEADER_CUT_FROM_ETCD: self._cut_leader_from_etcd,
            ClusterKind.LEADER_DISK_FULL: self._fill_disk,
            ClusterKind.REPLICA_KILLED: self._kill_replica,
            ClusterKind.ETCD_MAJORITY_LOST: self._lose_majority,
            ClusterKind.SWITCHED_OVER: self._switch_over,
            ClusterKind.PROXY_RESTARTED: self._restart_proxy,
        }

    async def inflict(self, fault: Planned) -> bool:
        """Errors: `TimeoutError` when the cluster, or writing, does not come back."""
        leader, standby = await self._cluster.healthy()
        started = time.monotonic()
        done = await self._acts[fault.kind](fault, leader, standby)
        leader, standby = await self._cluster.healthy()
        pause_s = await self.beats.longest_pause_s(started)
        print(f"chaos: {fault.kind}: no write for {pause_s} s; {leader.name} leads", flush=True)
        if done:
            self._stopped_s[fault.kind].append(pause_s)
        return done

    def writes_stopped_s(self) -> Mapping[str, RecoveryTime]:
        everything = [seconds for each in self._stopped_s.values() for seconds in each]
        return {kind: recovery_time(each) for kind, each in {"all": everything, **self._stopped_s}.items()}

    async def heal(self) -> None:
        """Whatever is still wrong is right afterwards."""
        for node in self._cluster.nodes:
            (node.home / "disk" / BALLAST).unlink(missing_ok=True)
            for link in node.links:
                link.heal()
                await link.open()
        for machine in (*self._cluster.etcds, *self._cluster.nodes, self._cluster.proxy):
            machine.signal(signal.SIGCONT)
            await machine.start()
        await self._cluster.healthy()

    async def _kill_leader(self, _fault: Planned, leader: Node, _: Node) -> bool:
        await leader.kill()
        await self._others_lead(leader)
        await leader.start()
        return True

    async def _lose_leader(self, _fault: Planned, leader: Node, _: Node) -> bool:
        """With its disk: what it alone had is gone."""
        await leader.kill()
        await asyncio.to_thread(wipe, leader)
        await self._others_lead(leader)
        await leader.start()
        return True

    async def _freeze_leader(self, fault: Planned, leader: Node, _: Node) -> bool:
        leader.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            leader.signal(signal.SIGCONT)
        return True

    async def _isolate_leader(self, fault: Planned, leader: Node, standby: Node) -> bool:
        return await self._cut((*leader.links, *standby.peers), fault)

    async def _cut_leader_from_etcd(self, fault: Planned, leader: Node, _: Node) -> bool:
        return await self._cut(leader.etcd, fault)

    async def _fill_disk(self, fault: Planned, leader: Node, _: Node) -> bool:
        """To the last byte, and what becomes free too; so PostgreSQL finds no room for its log."""
        ballast = leader.home / "disk" / BALLAST
        ends_at = time.monotonic() + fault.duration_s
        try:
            while time.monotonic() < ends_at:
                await asyncio.to_thread(fill, ballast)
                with suppress(*DATABASE_FAILURES):
                    await self._cluster.execute("select pg_switch_wal()")
                await asyncio.sleep(AGAIN_S)
        finally:
            ballast.unlink(missing_ok=True)
        return True

    async def _kill_replica(self, fault: Planned, _: Node, standby: Node) -> bool:
        await standby.kill()
        await asyncio.sleep(fault.duration_s)
        await standby.start()
        return True

    async def _lose_majority(self, fault: Planned, _leader: Node, _standby: Node) -> bool:
        """Two of three, frozen or killed."""
        first = fault.target % len(self._cluster.etcds)
        victims = (*self._cluster.etcds, *self._cluster.etcds)[first : first + 2]
        for victim in victims:
            if fault.draw < HALF:
                victim.signal(signal.SIGSTOP)
            else:
                await victim.kill()
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            for victim in victims:
                victim.signal(signal.SIGCONT)
                await victim.start()
        return True

    async def _switch_over(self, _fault: Planned, leader: Node, standby: Node) -> bool:
        return await self._cluster.switch_over(leader, standby)

    async def _restart_proxy(self, _fault: Planned, _leader: Node, _standby: Node) -> bool:
        await self._cluster.proxy.kill()
        await self._cluster.proxy.start()
        return True

    async def _cut(self, links: tuple[Link, ...], fault: Planned) -> bool:
        """Nothing comes back, or all is refused."""
        for link in links:
            if fault.draw < HALF:
                link.swallow()
            else:
                await link.shut()
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            for link in links:
                await _join(link)
        return True

    async def _others_lead(self, gone: Node) -> None:
        """Errors: `TimeoutError`."""
        async with asyncio.timeout(WRITES_WITHIN_S):
            while (await self._cluster.leader()) in (None, gone):
                await asyncio.sleep(BEAT_S)


@asynccontextmanager
async def open_beats(dsn: str) -> AsyncIterator[Beats]:
    """They go on until the end of the block."""
    pool = await open_pool(dsn, connections_max=1, application="beats")
    await pool.execute(BEATS)
    beats = Beats(pool)
    task = asyncio.create_task(beats.run())
    try:
        yield beats
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pool.terminate()


async def _join(link: Link) -> None:
    """What was silent is reset: keepalives would have found it dead meanwhile."""
    link.heal()
    link.cut()
    await link.open()
