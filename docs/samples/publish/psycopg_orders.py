"""An order and its email in one transaction, with psycopg."""

import psycopg

import postroom

INSERT = "insert into shop_order (email, total) values (%s, %s) returning id"


def place_order(database_url: str, email: str, total: int) -> int:
    with psycopg.connect(database_url) as connection:  # commits at its end, or rolls back
        [order_id] = connection.execute(INSERT, [email, total]).fetchone()
        payload = {"to": email, "subject": "Your order", "text": f"Order {order_id} is on its way."}
        postroom.publish(connection, channel="email", payload=payload, key=f"order:{order_id}")
    return order_id
