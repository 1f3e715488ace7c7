"""Exports against real storage: an S3 server in its own process, and a disk that is really full."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3  # type: ignore[import-untyped]
import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.export_settings import ExportSettings
from postroom.base.listener import free_port
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.destinations import open_destinations
from postroom.channels.exports.failures import STORAGE_ERRORS, answer_failure
from postroom.outbox.model import Cause, Claim, Delivered, Message, RetryLater, Trip
from postroom.outbox.publish import publish
from tests.factories.claims import make_claim
from tests.fixtures.roles import pool_as

START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class S3Server:
    """A stand-in for S3 on the loopback, in a process of its own."""

    endpoint: str
    client: Any

    def settings(self, bucket: str, **changes: str) -> ExportSettings:
        options = {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": "key",
            "secret_access_key": "value",
        }
        return ExportSettings(url=f"s3://{bucket}/exports", options=options | changes, roll_s=0)

    def contents(self, bucket: str) -> dict[str, bytes]:
        return {
            key: self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
            for key in self.keys(bucket)
            if not key.endswith("/_manifest.json")
        }

    def keys(self, bucket: str) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return [entry["Key"] for entry in listed]


def wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    latest = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < latest:
        if process.poll() is not None:
            pytest.fail(f"the S3 server ended with {process.returncode}")
        with socket.socket() as attempt:
            attempt.settimeout(1.0)
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
    pytest.fail("the S3 server did not start in time")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_open(process, port)
        endpoint = f"http://127.0.0.1:{port}"
        yield S3Server(endpoint, connect("s3", endpoint))
    finally:
        process.terminate()
        process.wait(10)


def connect(service: str, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="value",
    )


@pytest.fixture
def bucket(s3: S3Server) -> str:
    name = f"bucket-{uuid4().hex[:8]}"
    s3.client.create_bucket(Bucket=name)
    return name


def make_adapter(pool: Pool, settings: ExportSettings, state_dir: Path) -> ExportAdapter:
    return ExportAdapter(
        pool=pool_as(pool, "runner"), clock=SystemClock(), settings=settings, state_dir=state_dir
    )


async def publish_claim(pool: Pool, tenant: str | None = None) -> Claim:
    payload = {"dataset": "invoices", "record": {"number": 1}}
    message = Message(channel="export", payload=payload, tenant=tenant)
    async with transaction(pool) as conn:
        published = await publish(conn, message)
        row = await conn.fetchrow("select * from postroom.message where id = $1", published.id)
    assert row is not None
    return make_claim(
        message_id=published.id,
        channel="export",
        destination="invoices",
        type=row["type"],
        tenant=row["tenant"],
        payload=row["payload"],
        created_s=row["created_at"].timestamp(),
    )


async def test_a_record_reaches_s3_and_a_repeat_overwrites_itself(
    s3: S3Server, bucket: str, pool: Pool, tmp_path: Path
) -> None:
    claim = await publish_claim(pool)
    adapter = make_adapter(pool, s3.settings(bucket), tmp_path)
    await adapter.start()
    assert isinstance(await adapter.deliver(claim), Delivered)
    [(path, content)] = s3.contents(bucket).items()
    assert path.startswith("exports/invoices/_/dt=")
    assert str(claim.message_id).encode() in gzip.decompress(content)

    # As after a crash between the write and the mark: the next worker writes the same file again.
    await pool.execute("update postroom.export_file set stored_at = null, size_bytes = null, sha256 = null")
    again = make_adapter(pool, s3.settings(bucket), tmp_path)
    assert isinstance(await again.deliver(claim), Delivered)
    assert s3.contents(bucket) == {path: content}
    assert await pool.fetchval("select stored_at is not null from postroom.export_file")


async def test_two_files_of_a_folder_in_s3_are_both_listed(
    s3: S3Server, bucket: str, pool: Pool, tmp_path: Path
) -> None:
    for _ in range(2):
        adapter = make_adapter(pool, s3.settings(bucket), tmp_path)
        assert isinstance(await adapter.deliver(await publish_claim(pool)), Delivered)
    [key] = [each for each in s3.keys(bucket) if each.endswith("_manifest.json")]
    manifest = json.loads(s3.client.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert {f"exports/{file['path']}" for file in manifest["files"]} == set(s3.contents(bucket))
    assert len(manifest["files"]) == 2


async def test_a_missing_bucket_is_our_fault_and_mended_by_making_it(
    s3: S3Server, pool: Pool, tmp_path: Path
) -> None:
    claim = await publish_claim(pool)
    adapter = make_adapter(pool, s3.settings("missing-bucket"), tmp_path)
    answer = await adapter.deliver(claim)
    assert isinstance(answer, RetryLater)
    assert (answer.cause, answer.code) == (Cause.OURS, "not_found")
    s3.client.create_bucket(Bucket="missing-bucket")
    assert isinstance(await adapter.deliver(claim), Delivered)
    assert len(s3.contents("missing-bucket")) == 1


async def test_a_server_that_is_away_may_come_back(
    s3: S3Server, bucket: str, pool: Pool, tmp_path: Path
) -> None:
    away = s3.settings(bucket, endpoint=f"http://127.0.0.1:{free_port()}")
    answer = await make_adapter(pool, away, tmp_path).deliver(await publish_claim(pool))
    assert isinstance(answer, RetryLater)
    assert answer.cause is Cause.PASSING
    assert s3.contents(bucket) == {}


async def test_a_server_that_never_answers_is_given_up(
    s3: S3Server, bucket: str, pool: Pool, tmp_path: Path
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        adapter = ExportAdapter(
            pool=pool_as(pool, "runner"),
            clock=SystemClock(),
            settings=s3.settings(bucket, endpoint=endpoint),
            state_dir=tmp_path,
            put_timeout_s=0.3,
        )
        answer = await adapter.deliver(await publish_claim(pool))
    assert isinstance(answer, RetryLater)
    assert answer.code == "timeout"


def make_key(s3: S3Server, actions: str, resource: str = "*") -> dict[str, str]:
    """Options of a user who may do this only, while logins are checked."""
    iam = connect("iam", s3.endpoint)
    name = f"exporter-{uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="exports", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


async def test_wrong_credentials_are_our_fault_and_open_the_breaker(
    s3: S3Server, bucket: str, pool: Pool, tmp_path: Path
) -> None:
    """So is a key that may read and not put."""
    right, reads_only = make_key(s3, "s3:*"), make_key(s3, "s3:Get*")
    claim = await publish_claim(pool)
    with logins_checked(s3):
        for wrong in ({}, reads_only):
            answer = await make_adapter(pool, s3.settings(bucket, **wrong), tmp_path).deliver(claim)
            assert isinstance(answer, RetryLater)
            assert (answer.cause, answer.trip, answer.code) == (Cause.OURS, Trip.NOW, "forbidden")
        mended = await make_adapter(pool, s3.settings(bucket, **right), tmp_path).deliver(claim)
        assert isinstance(mended, Delivered)
    assert len(s3.contents(bucket)) == 1


async def test_a_tenants_files_lie_in_its_own_bucket_and_no_other_key_puts_them_there(
    s3: S3Server, pool: Pool, tmp_path: Path
) -> None:
    tenants = ("acme", "eve")
    buckets = {tenant: f"{tenant}-{uuid4().hex[:8]}" for tenant in tenants}
    for name in buckets.values():
        s3.client.create_bucket(Bucket=name)
    keys = {tenant: make_key(s3, "s3:*", f"arn:aws:s3:::{buckets[tenant]}*") for tenant in tenants}

    def adapter(key_of: dict[str, str]) -> ExportAdapter:
        places: dict[str, Any] = {}
        for tenant in tenants:
            bucket = s3.settings(buckets[tenant], **keys[key_of[tenant]])
            places[tenant] = {"url": bucket.url, "options": bucket.options, "tenants": [tenant]}
        return make_adapter(pool, ExportSettings(destinations=places, roll_s=0), tmp_path)

    claims = {tenant: await publish_claim(pool, tenant) for tenant in tenants}
    with logins_checked(s3):
        swapped = adapter({"acme": "eve", "eve": "acme"})
        for claim in claims.values():
            refused = await swapped.deliver(claim)
            assert isinstance(refused, RetryLater)
            assert (refused.cause, refused.code) == (Cause.OURS, "forbidden")
        own = adapter({tenant: tenant for tenant in tenants})
        assert [type(await own.deliver(claim)) for claim in claims.values()] == [Delivered, Delivered]
    for tenant, claim in claims.items():
        [(path, content)] = s3.contents(buckets[tenant]).items()
        assert path.startswith(f"exports/invoices/{tenant}/")
        assert str(claim.message_id).encode() in gzip.decompress(content)


@contextmanager
def logins_checked(s3: S3Server) -> Iterator[None]:
    """The stand-in accepts every login unless it is told to look."""
    let_pass(s3, b"0")
    try:
        yield
    finally:
        let_pass(s3, b"inf")


def let_pass(s3: S3Server, actions: bytes) -> None:
    request = urllib.request.Request(
        f"{s3.endpoint}/moto-api/reset-auth", actions, {"Content-Type": "text/plain"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200


FULL_DISK = textwrap.dedent(
    """
    import asyncio, os, sys
    from pathlib import Path
    from postroom.channels.exports.failures import STORAGE_ERRORS, answer_failure
    from postroom.channels.exports.folder import FolderStorage

    root = Path(sys.argv[1])
    storage = FolderStorage(root)

    async def main():
        await storage.put("invoices/small.ndjson.gz", b"fits")
        try:
            await storage.put("invoices/large.ndjson.gz", os.urandom(200_000))
        except STORAGE_ERRORS as error:
            answer = answer_failure(error)
            print(answer.cause, answer.code, answer.reason, sep="|")
        print(sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()))
        await storage.put("invoices/small.ndjson.gz", b"again")

    asyncio.run(main())
    """
)


def test_a_full_disk_is_our_fault_and_leaves_no_half_file(tmp_path: Path) -> None:
    """A file system of 64 KB, mounted in a namespace of its own."""
    unshare = shutil.which("unshare")
    mount = f'mount -t tmpfs -o size=64k none "{tmp_path}"'
    namespace = [unshare or "unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if unshare is None or subprocess.run([*namespace, mount], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are missing here: no small file system can be mounted")
    script = f'{mount} && exec "{sys.executable}" -c "$0" "{tmp_path}"'
    done = subprocess.run(
        [*namespace, script, FULL_DISK],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=os.getcwd(),
    )
    answer, files = done.stdout.splitlines()
    cause, code, reason = answer.split("|")
    assert (cause, code) == ("ours", "ENOSPC")
    assert reason.startswith("no room left for exports")
    assert files == "['invoices/small.ndjson.gz']"


async def test_a_folder_without_the_right_to_write_is_our_fault(tmp_path: Path) -> None:
    storage = open_destinations(ExportSettings(url="file:///proc/postroom"), tmp_path)
    with pytest.raises(STORAGE_ERRORS) as failed:
        await asyncio.wait_for(storage.put("a/b", b"x"), 10)
    assert answer_failure(failed.value).cause is Cause.OURS
