from django.db import connection, transaction
from django.http import HttpResponseBadRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from postroom.contrib.django import publish
from shop.models import Order
from shop.tasks import confirm


@csrf_exempt
@require_POST
@transaction.atomic
def place_order(request):
    """The order, its charge and its confirmation: all of them, or none."""
    order = Order.objects.create(
        email=request.POST["email"], customer=request.POST["customer"], total=int(request.POST["total"])
    )
    charge = {"amount": order.total, "currency": "eur", "customer": order.customer, "confirm": True}
    publish(
        channel="stripe_api",
        payload={"method": "POST", "path": "/v1/payment_intents", "params": charge},
        key=f"charge:{order.id}",
    )
    confirm.with_options(key=f"confirm:{order.id}").publish(connection, order.id)
    if order.total > 100_000:
        transaction.set_rollback(True)
        return HttpResponseBadRequest("too much for one order")
    return JsonResponse({"order": order.id}, status=201)
