"""An order and its email in one transaction, with Django."""

import json

from django.db import connection, models, transaction


class Order(models.Model):
    email = models.EmailField()
    total = models.IntegerField()

    class Meta:
        app_label = "shop"


def publish(channel, payload, key=None):
    """Publish in the transaction that is open. Returns the message's id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select postroom.publish(channel => %s, payload => %s::jsonb, key => %s)",
            [channel, json.dumps(payload), key],
        )
        return cursor.fetchone()[0]


@transaction.atomic
def place_order(email, total):
    order = Order.objects.create(email=email, total=total)
    payload = {"to": email, "subject": "Your order", "text": f"Order {order.id} is on its way."}
    publish("email", payload, key=f"order:{order.id}")
    return order
