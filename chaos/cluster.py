"""Two PostgreSQL under Patroni, three etcd and a HAProxy, with the configuration of `deploy/ha`.

Each of the six is a machine of its own (`chaos.machine`). What Patroni and PostgreSQL say to others, and
others to them, goes through links, so that a machine can be cut off.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import yaml

from chaos.link import Link
from chaos.machine import processes_of
from chaos.process import ManagedProcess
from chaos.small_disk import mount, unmount
from postroom.base import json
from postroom.base.db import DATABASE_FAILURES
from postroom.base.listener import free_ports
from postroom.postgres.binaries import find_binaries
from postroom.postgres.errors import BinariesNotFound, UnsupportedVersion

CONFIGURATION: Final = Path(__file__).resolve().parents[1] / "deploy" / "ha"
PACKAGES: Final = {
    "patroni": "patroni",
    "patronictl": "patroni",
    "etcd": "etcd-server",
    "haproxy": "haproxy",
    "pg_rewind": "postgresql-15",
}
HOST: Final = "127.0.0.1"
DATABASE: Final = "postroom"
NODES: Final = 2
ETCDS: Final = 3
DISK: Final = "1200m"
CONNECT_S: Final = 5.0
REST_S: Final = 2.0
POLL_S: Final = 0.2
SYNCHRONOUS: Final = (("sync_standby", "running"), ("sync_standby", "streaming"))
"""What Patroni 3.0.2 says of a standby that is named in etcd, and what later ones do."""
BY_ITSELF: Final = ("replica", "running")
"""Not streaming, or not yet named in etcd, which takes seconds."""
LEFT_BEHIND_S: Final = 45.0
SCOPE: Final = "postroom"
FAILSAFE: Final = "failsafe_mode_is_active"
HEALTHY_WITHIN_S: Final = 300.0
"""Copying a machine anew takes two minutes where others keep the processors busy."""
DEAD_WITHIN_S: Final = 10.0
SMALL: Final = {"shared_buffers": "64MB", "max_wal_size": "256MB", "wal_keep_size": "256MB"}
"""What the parameters of `deploy/ha` are here, beside a load of a few events a second."""


class MissingPrograms(Exception):
    """The message says what to install."""


@dataclass(slots=True)
class Machine:
    """A program with all that it starts."""

    process: ManagedProcess

    async def start(self) -> None:
        await self.process.start()

    async def kill(self) -> None:
        """As a power cut does, but for the disk. Returns when nothing of it is left."""
        if not self.process.running:
            return
        inside = processes_of(self.process.pid)
        await self.process.kill()
        async with asyncio.timeout(DEAD_WITHIN_S):
            while any(map(_exists, inside)):
                await asyncio.sleep(POLL_S / 4)

    def signal(self, number: signal.Signals) -> None:
        for pid in processes_of(self.process.pid) if self.process.running else ():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@dataclass(slots=True, kw_only=True)
class Node(Machine):
    """A Patroni and its PostgreSQL. `etcd`: its ways there. Of what leads here, PostgreSQL is first.

    `clients`: by which HAProxy and applications come. `peers`: by which the other node does.
    """

    name: str
    home: Path
    rest_port: int
    etcd: tuple[Link, ...]
    clients: tuple[Link, Link]
    peers: tuple[Link, Link]

    @property
    def links(self) -> tuple[Link, ...]:
        return (*self.etcd, *self.clients, *self.peers)


class Cluster:
    """What `chaos.database` is, run by Patroni."""

    def __init__(self, folder: Path, *, small_disks: bool) -> None:
        """Errors: `MissingPrograms`."""
        self._folder = folder
        self._programs = find_programs()
        self._small_disks = small_disks
        self._password = secrets.token_urlsafe(16)
        self._proxy_port, *self._ports = free_ports(1 + 2 * NODES + 2 * ETCDS)
        self.etcds = tuple(self._etcd(n) for n in range(ETCDS))
        self.nodes: tuple[Node, ...] = ()
        self.proxy = self._machine("haproxy", self._programs["haproxy"], "-db", "-f", "haproxy.cfg")

    @property
    def direct_dsn(self) -> str:
        return self._dsn(f"{HOST}:{self._proxy_port}")

    @property
    def dsns(self) -> tuple[str, ...]:
        """Both ways to the leader: by HAProxy, and by asking each server."""
        hosts = ",".join(f"{HOST}:{node.clients[0].port}" for node in self.nodes)
        return self.direct_dsn, self._dsn(hosts) + "?target_session_attrs=read-write"

    async def start(self) -> None:
        self.nodes = tuple([await self._node(n) for n in range(NODES)])
        for n, node in enumerate(self.nodes):
            if self._small_disks:
                await asyncio.to_thread(mount, node.home / "disk", size=DISK)
            else:
                (node.home / "disk").mkdir()
            (node.home / "patroni.yml").write_text(json.encode(self._patroni(n, node)))
        (self._folder / "haproxy" / "haproxy.cfg").write_text(self._haproxy())
        await asyncio.gather(*(each.start() for each in (*self.etcds, *self.nodes, self.proxy)))
        await self.healthy()
        await self._in_the_end(f'create database "{DATABASE}"', database="postgres")

    async def stop(self) -> None:
        await asyncio.gather(*(each.kill() for each in (self.proxy, *self.nodes, *self.etcds)))
        for node in self.nodes:
            for link in node.links:
                await link.shut()
            if self._small_disks:
                await asyncio.to_thread(unmount, node.home / "disk")

    async def execute(self, statement: str, *arguments: Any, database: str = DATABASE) -> list[Any]:
        """Run one statement on the leader. Errors: those of asyncpg."""
        dsn = self._dsn(f"{HOST}:{self._proxy_port}", database)
        conn = await asyncpg.connect(dsn, timeout=CONNECT_S, command_timeout=CONNECT_S)
        try:
            return list(await conn.fetch(statement, *arguments))
        finally:
            await conn.close(timeout=CONNECT_S)

    async def leader(self) -> Node | None:
        """Who says of itself that it is, and holds the key."""
        async with aiohttp.ClientSession() as client:
            for node in self.nodes:
                if await _get(client, f"http://{HOST}:{node.rest_port}/primary") is not None:
                    return node
        return None

    async def healthy(self) -> tuple[Node, Node]:
        """Wait until one leads and the other follows synchronously. Returns: both.

        One that stays behind is helped once, as ReplicationNotSynchronous tells a person to.
        Errors: `TimeoutError` when that takes too long.
        """
        behind_since, helped = math.inf, False
        async with asyncio.timeout(HEALTHY_WITHIN_S) as limit:
            while True:
                leader = await self.leader()
                if leader is not None:
                    other = self.nodes[1 - self.nodes.index(leader)]
                    role = await self._role_of(other, asked=leader)
                    if role in SYNCHRONOUS:
                        return leader, other
                    now = asyncio.get_running_loop().time()
                    behind_since = min(behind_since, now) if role in (None, BY_ITSELF) else math.inf
                    if now - behind_since > LEFT_BEHIND_S and not helped:
                        helped = True
                        await self._help(leader, other, role)
                        limit.reschedule(asyncio.get_running_loop().time() + HEALTHY_WITHIN_S)
                await asyncio.sleep(POLL_S)

    async def _help(self, leader: Node, other: Node, role: tuple[str, str] | None) -> None:
        if role is None:
            print(f"chaos: {other.name} runs, and its Patroni does nothing: started again", flush=True)
            await other.kill()
            await other.start()
        else:
            print(f"chaos: {other.name} runs and does not follow: copied anew", flush=True)
            await self._patronictl(leader, "reinit", SCOPE, other.name, "--force")

    async def _role_of(self, node: Node, *, asked: Node) -> tuple[str, str] | None:
        async with aiohttp.ClientSession() as client:
            said = await _get(client, f"http://{HOST}:{asked.rest_port}/cluster") or {}
        roles = {each["name"]: (each["role"], each["state"]) for each in said.get("members", ())}
        return roles.get(node.name)

    async def switch_over(self, leader: Node, to: Node) -> bool:
        """By patronictl, as the walk-through says. Returns: whether it said that it was done."""
        await self._failsafe_is_over(to)
        return await self._patronictl(
            leader, "switchover", "--leader", leader.name, "--candidate", to.name, "--force"
        )

    async def _patronictl(self, node: Node, *arguments: str) -> bool:
        process = await asyncio.create_subprocess_exec(
            self._programs["patronictl"], "-c", str(node.home / "patroni.yml"), *arguments,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": str(self._folder)},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(HEALTHY_WITHIN_S):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            print(f"chaos: patronictl: {said.decode(errors='replace')[-500:]}", flush=True)
        return process.returncode == 0

    async def _failsafe_is_over(self, standby: Node) -> None:
        """A leader without etcd says that it leads, and is believed for as long as its key lasts."""
        async with aiohttp.ClientSession() as client, asyncio.timeout(HEALTHY_WITHIN_S):
            while (await _get(client, f"http://{HOST}:{standby.rest_port}/patroni") or {}).get(FAILSAFE):
                await asyncio.sleep(POLL_S)

    async def _in_the_end(self, statement: str, *, database: str) -> None:
        """HAProxy may not know the leader yet."""
        async with asyncio.timeout(HEALTHY_WITHIN_S):
            while True:
                try:
                    await self.execute(statement, database=database)
                except DATABASE_FAILURES:
                    await asyncio.sleep(POLL_S)
                else:
                    return

    def _dsn(self, hosts: str, database: str = DATABASE) -> str:
        return f"postgresql://postgres:{self._password}@{hosts}/{database}"

    def _machine(self, name: str, program: str, *arguments: str) -> Machine:
        home = self._folder / name
        home.mkdir(mode=0o700)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        command = ("chaos.machine", "--home", str(home), program, *arguments)
        return Machine(ManagedProcess(name, command, environment, self._folder / f"{name}.log"))

    def _etcd(self, number: int) -> Machine:
        client, peer = self._etcd_ports(number)
        members = ",".join(f"etcd-{n}=http://{HOST}:{self._etcd_ports(n)[1]}" for n in range(ETCDS))
        return self._machine(
            f"etcd-{number}", self._programs["etcd"], "--name", f"etcd-{number}", "--data-dir", "data",
            "--listen-client-urls", f"http://{HOST}:{client}", "--advertise-client-urls", f"http://{HOST}:{client}",
            "--listen-peer-urls", f"http://{HOST}:{peer}", "--initial-advertise-peer-urls", f"http://{HOST}:{peer}",
            "--initial-cluster", members, "--initial-cluster-state", "new", "--enable-v2",
        )  # fmt: skip

    def _etcd_ports(self, number: int) -> tuple[int, int]:
        return self._ports[2 * NODES + 2 * number], self._ports[2 * NODES + 2 * number + 1]

    async def _node(self, number: int) -> Node:
        port, rest_port = self._ports[2 * number : 2 * number + 2]
        machine = self._machine(f"pg{number + 1}", self._programs["patroni"], "patroni.yml")
        here = (port, rest_port)
        links = []
        for target in (*(self._etcd_ports(n)[0] for n in range(ETCDS)), *here, *here):
            links.append(Link())
            links[-1].target_port = target
            await links[-1].open()
        *etcd, client, client_rest, peer, peer_rest = links
        return Node(
            process=machine.process, name=machine.process.name, home=self._folder / machine.process.name,
            rest_port=rest_port, etcd=tuple(etcd), clients=(client, client_rest), peers=(peer, peer_rest),
        )  # fmt: skip

    def _patroni(self, number: int, node: Node) -> dict[str, Any]:
        """The file of `deploy/ha` with this machine's addresses, and as two machines need it."""
        told: dict[str, Any] = yaml.safe_load((CONFIGURATION / "patroni.yml").read_text())
        told["name"] = node.name
        told["etcd"] = {"hosts": [f"{HOST}:{link.port}" for link in node.etcd], "use_proxies": True}
        told["restapi"] |= {
            "listen": f"{HOST}:{node.rest_port}",
            "connect_address": f"{HOST}:{node.peers[1].port}",
        }
        told["bootstrap"]["dcs"]["synchronous_mode_strict"] = False
        del told["bootstrap"]["dcs"]["slots"]["pg3"]
        told["bootstrap"]["dcs"]["postgresql"]["parameters"] |= SMALL
        told["bootstrap"]["pg_hba"] = told["postgresql"]["pg_hba"] = [
            "local all all trust",
            f"host all all {HOST}/32 scram-sha-256",
            f"host replication all {HOST}/32 scram-sha-256",
        ]
        told["postgresql"] |= {
            "listen": f"{HOST}:{self._ports[2 * number]}",
            "connect_address": f"{HOST}:{node.peers[0].port}",
            "data_dir": str(node.home / "disk" / "data"),
            "bin_dir": str(Path(self._programs["pg_rewind"]).parent),
            "pgpass": str(node.home / "pgpass"),
        }
        told["postgresql"]["parameters"]["unix_socket_directories"] = str(node.home)
        for login in told["postgresql"]["authentication"].values():
            login["password"] = self._password
        return told

    def _haproxy(self) -> str:
        """The file of `deploy/ha` with the addresses and the servers that are there."""
        text = (CONFIGURATION / "haproxy.cfg").read_text()
        text = text.replace("127.0.0.1:5000", f"{HOST}:{self._proxy_port}")
        for n, node in enumerate(self.nodes):
            shipped = f"10.0.0.{11 + n}:5432 check port 8008"
            text = text.replace(shipped, f"{HOST}:{node.clients[0].port} check port {node.clients[1].port}")
        left_out = ("10.0.0.", "    user ", "    group ")  # the third server, and who it runs as
        return "".join(
            line for line in text.splitlines(keepends=True) if not any(each in line for each in left_out)
        )


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def _get(client: aiohttp.ClientSession, url: str) -> Any:
    """The answer, or None when there is none or it is no 200."""
    try:
        async with client.get(url, timeout=aiohttp.ClientTimeout(total=REST_S)) as answer:
            return await answer.json(content_type=None) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


def find_programs(path: str | None = None) -> dict[str, str]:
    """Where the programs of a cluster are. `path`: where to look, if not where this process would.

    Errors: `MissingPrograms`.
    """
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")) if path is None else path
    found = {name: where for name in PACKAGES if (where := shutil.which(name, path=path))}
    with suppress(BinariesNotFound, UnsupportedVersion):
        for binaries in find_binaries("machine"):
            rewind = binaries.bin_dir / "pg_rewind"
            if rewind.is_file():
                found.setdefault("pg_rewind", str(rewind))
    missing = sorted({package for program, package in PACKAGES.items() if program not in found})
    if missing:
        names = " ".join(missing)
        raise MissingPrograms(f"missing: {names}. On Debian: apt-get install --no-install-recommends {names}")
    return found


def wipe(node: Node) -> None:
    """Its machine came back without its data. The machine must be off."""
    shutil.rmtree(node.home / "disk" / "data")
