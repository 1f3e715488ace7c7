"""Whoever has work for them, in a transaction of its own."""

import os

import psycopg
from celery_tasks import add, fetch
from river_tasks import Words, sort


def enqueue() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection, connection.transaction():
        add.publish(connection, 4, 5)
        fetch.publish(connection, "http://busy.example.com/")
        sort.publish(connection, Words(["pear", "fig", "plum"]))
