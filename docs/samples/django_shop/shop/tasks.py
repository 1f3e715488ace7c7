from django.db import transaction

from postroom import cron, task
from postroom.contrib.django import publish
from shop.models import Order

OWNER = "owner@example.com"


@task("shop.confirm")
def confirm(order: int) -> None:
    """It may run more than once: the key lets the mail go once."""
    with transaction.atomic():
        placed = Order.objects.get(pk=order)
        placed.confirmed = True
        placed.save()
        text = f"We have your order {order}, and charge {placed.total / 100:.2f} EUR."
        mail = {"to": placed.email, "subject": f"Your order {order}", "text": text}
        publish(channel="email", payload=mail, key=f"confirmed:{order}")


@cron("0 18 * * mon-fri", zone="Europe/Berlin")
@task("shop.report")
def report() -> None:
    with transaction.atomic():
        text = f"{Order.objects.filter(confirmed=True).count()} orders are confirmed."
        publish(channel="email", payload={"to": OWNER, "subject": "Orders", "text": text})
