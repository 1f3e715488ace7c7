"""An order and its email in one transaction, with SQLAlchemy."""

import json

from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

PUBLISH = text(
    "select postroom.publish(channel => :channel, payload => cast(:payload as jsonb), key => :key)"
)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    total: Mapped[int]


def publish(session: Session, channel: str, payload: dict, key: str | None = None):
    """Publish in the session's transaction. Returns the message's id."""
    return session.scalar(PUBLISH, {"channel": channel, "payload": json.dumps(payload), "key": key})


def place_order(session: Session, email: str, total: int) -> Order:
    order = Order(email=email, total=total)
    session.add(order)
    session.flush()  # gives the order its id
    payload = {"to": email, "subject": "Your order", "text": f"Order {order.id} is on its way."}
    publish(session, "email", payload, key=f"order:{order.id}")
    return order  # whoever began the transaction commits it
