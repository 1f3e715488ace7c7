"""An order and its email in one transaction, with SQLAlchemy."""

from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import postroom


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    total: Mapped[int]


def place_order(session: Session, email: str, total: int) -> Order:
    order = Order(email=email, total=total)
    session.add(order)
    session.flush()  # gives the order its id
    payload = {"to": email, "subject": "Your order", "text": f"Order {order.id} is on its way."}
    postroom.publish(session, channel="email", payload=payload, key=f"order:{order.id}")
    return order  # whoever began the transaction commits it
