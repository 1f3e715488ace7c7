from postroom import Event, Transaction, on


@on("customer.subscription.deleted")
async def cancelled(event: Event, tx: Transaction) -> None:
    await tx.publish(
        channel="export",
        payload={
            "dataset": "cancellations",
            "record": {
                "customer": event.customer,
                "subscription": event.object["id"],
                "at": event.created.isoformat(),
            },
        },
    )
