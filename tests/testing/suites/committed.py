"""Tests that commit: what was committed before the fixture is of others."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import psycopg
import pytest
from tasks import add_points

import postroom as postroom_package
from postroom.dev.mailbox import Mailbox
from postroom.testing import NotDelivered


@pytest.fixture
def postroom_connection():
    return None


@pytest.fixture
def connection(postroom_database_url):
    with psycopg.connect(postroom_database_url, autocommit=True) as connection:
        connection.execute("create table if not exists points (customer integer)")
        yield connection


def publish(connection, **message):
    with connection.transaction():
        return postroom_package.publish(connection, **message)


def test_a_commit_is_seen(connection, postroom):
    publish(connection, channel="email", payload={"to": "ada@example.com", "subject": "Hi"}, key="one")
    assert postroom.assert_published(channel="email").key == "one"


def test_those_of_the_test_before_are_not(connection, postroom):
    publish(connection, channel="email", payload={"to": "ada@example.com", "subject": "Hi"}, key="two")
    assert [each.key for each in postroom.published()] == ["two"]
    assert [each.key for each in postroom.drain()] == ["two"]


def test_a_task_commits(connection, postroom):
    with connection.transaction():
        add_points.publish(connection, 5)
    postroom.drain(real=["task"])
    assert connection.execute("select customer from points").fetchall() == [(5,)]


async def test_an_async_test_awaits(connection, postroom):
    publish(connection, channel="email", payload={"to": "ada@example.com", "subject": "Hi"}, key="three")
    assert (await postroom.assert_published(channel="email")).key == "three"


class Receiver(BaseHTTPRequestHandler):
    received = []  # noqa: RUF012

    def do_POST(self):
        self.received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204 if self.path == "/" else 500)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_real_webhook_arrives(connection, postroom, url, monkeypatch):
    monkeypatch.setenv("POSTROOM_WEBHOOK__ALLOW_NETWORKS", "127.0.0.0/8")
    publish(connection, channel="webhook", payload={"url": url, "type": "order.paid", "data": {"id": 42}})
    assert len(postroom.drain(real=["webhook"])) == 1
    assert [each["data"] for each in Receiver.received] == [{"id": 42}]
    publish(connection, channel="webhook", payload={"url": f"{url}500", "type": "order.paid", "data": {}})
    with pytest.raises(NotDelivered, match="500"):
        postroom.drain(real=["webhook"])


@pytest.fixture
async def mailbox(monkeypatch):
    mailbox = Mailbox()
    await mailbox.start()
    monkeypatch.setenv("POSTROOM_EMAIL__URL", f"smtp://127.0.0.1:{mailbox.port}")
    yield mailbox
    await mailbox.close()


async def test_a_real_mail_arrives(connection, postroom, mailbox):
    mail = {"to": "ada@example.com", "subject": "Order 42", "text": "It is on its way."}
    publish(connection, channel="email", payload=mail)
    assert len(await postroom.drain(real=["email"])) == 1
    [arrived] = mailbox.mails
    assert (arrived.recipients, arrived.subject) == (("ada@example.com",), "Order 42")
    assert arrived.text.strip() == "It is on its way."
    mailbox.faults.refuse["bob@example.com"] = "550 5.1.1 No such user"
    publish(connection, channel="email", payload={**mail, "to": "bob@example.com"})
    with pytest.raises(NotDelivered, match="550"):
        await postroom.drain(real=["email"])
    assert len(mailbox.mails) == 1
