"""An order and its email in one transaction, with FastAPI and SQLAlchemy."""

import json
import os

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])  # postgresql+psycopg://…
sessions = async_sessionmaker(engine)
app = FastAPI()

INSERT = text("insert into shop_order (email, total) values (:email, :total) returning id")
PUBLISH = text(
    "select postroom.publish(channel => :channel, payload => cast(:payload as jsonb), key => :key)"
)


class NewOrder(BaseModel):
    email: str
    total: int


@app.post("/orders", status_code=201)
async def place_order(new: NewOrder) -> dict[str, int]:
    # Commit in the handler: a dependency with `yield` may end after the answer was sent.
    async with sessions.begin() as session:
        order_id = await session.scalar(INSERT, new.model_dump())
        payload = {"to": new.email, "subject": "Your order", "text": f"Order {order_id} is on its way."}
        message = {"channel": "email", "payload": json.dumps(payload), "key": f"order:{order_id}"}
        await session.execute(PUBLISH, message)
    return {"id": order_id}
