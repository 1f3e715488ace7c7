"""An order and its email in one transaction, with Flask and psycopg."""

import os

import psycopg
from flask import Flask, request

import postroom

app = Flask(__name__)

INSERT = "insert into shop_order (email, total) values (%s, %s) returning id"


@app.post("/orders")
def place_order():
    new = request.get_json()
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:  # commits at its end, or rolls back
        order_id = connection.execute(INSERT, [new["email"], new["total"]]).fetchone()[0]
        payload = {"to": new["email"], "subject": "Your order", "text": f"Order {order_id} is on its way."}
        postroom.publish(connection, channel="email", payload=payload, key=f"order:{order_id}")
    return {"id": order_id}, 201
