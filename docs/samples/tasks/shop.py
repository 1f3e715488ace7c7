"""The application's side: its own row and the task in one transaction."""

import os

import psycopg
from tasks import add_points, sync_customer

DATABASE_URL = os.environ["DATABASE_URL"]


def sign_up(email: str) -> int:
    with psycopg.connect(DATABASE_URL) as connection, connection.transaction():
        insert = "insert into customer (email) values (%s) returning id"
        row = connection.execute(insert, (email,)).fetchone()
        assert row is not None
        customer = int(row[0])
        sync_customer.with_options(key=f"crm:{customer}").publish(connection, customer, email=email)
        add_points.with_options(key=f"welcome:{customer}").publish(connection, customer, points=100)
    return customer
