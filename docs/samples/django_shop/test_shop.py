from datetime import UTC, datetime

from shop.models import Order
from shop.tasks import report

from postroom.testing import times

ORDER = {"email": "ada@example.com", "customer": "cus_42", "total": 4900}


def test_an_order_is_charged_and_confirmed_by_mail(client, postroom):
    order = client.post("/orders", ORDER).json()["order"]
    charge = postroom.assert_published(channel="stripe_api", key=f"charge:{order}")
    assert charge.payload["params"]["amount"] == 4900

    *_, mail = postroom.drain(real=["task"])
    assert mail.payload["to"] == "ada@example.com"
    assert Order.objects.get().confirmed


def test_an_order_that_is_refused_charges_nobody(client, postroom):
    assert client.post("/orders", ORDER | {"total": 200_000}).status_code == 400
    assert postroom.published() == []


def test_the_report_waits_for_monday():
    friday = datetime(2026, 5, 1, 17, tzinfo=UTC)
    [monday] = times(report, after=friday)
    assert monday.isoformat() == "2026-05-04T18:00:00+02:00"
