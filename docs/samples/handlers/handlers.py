from prices import plan_of  # prices.py, beside this file

from postroom import Event, Transaction, on


@on("customer.subscription.created", "customer.subscription.updated", name="plan", fetch=True)
async def remember_plan(event: Event, tx: Transaction) -> None:
    """Keeps our own table and tells the tenant, both with the event or not at all."""
    subscription = event.object
    await tx.conn.execute(
        "insert into plan (customer, name) values ($1, $2) on conflict (customer) do update set name = $2",
        event.customer,
        plan_of(subscription),
    )
    await tx.publish(
        channel="webhook",
        key="plan-changed",
        tenant=event.customer,
        type="plan.changed",
        ordering_key=event.customer,
        payload={"data": {"subscription": subscription["id"], "plan": plan_of(subscription)}},
    )
