"""An order and its email in one transaction, with Django."""

from django.db import models, transaction

from postroom.contrib.django import publish


class Order(models.Model):
    email = models.EmailField()
    total = models.IntegerField()

    class Meta:
        app_label = "shop"


@transaction.atomic
def place_order(email, total):
    order = Order.objects.create(email=email, total=total)
    payload = {"to": email, "subject": "Your order", "text": f"Order {order.id} is on its way."}
    publish(channel="email", payload=payload, key=f"order:{order.id}")
    return order
