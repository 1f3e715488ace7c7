"""An order and its email in one transaction, with FastAPI and SQLAlchemy."""

import os

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

import postroom

engine = create_async_engine(os.environ["DATABASE_URL"])  # postgresql+asyncpg://… or postgresql+psycopg://…
sessions = async_sessionmaker(engine)
app = FastAPI()

INSERT = text("insert into shop_order (email, total) values (:email, :total) returning id")


class NewOrder(BaseModel):
    email: str
    total: int


@app.post("/orders", status_code=201)
async def place_order(new: NewOrder) -> dict[str, int]:
    # Commit in the handler: a dependency with `yield` may end after the answer was sent.
    async with sessions.begin() as session:
        order_id = await session.scalar(INSERT, new.model_dump())
        payload = {"to": new.email, "subject": "Your order", "text": f"Order {order_id} is on its way."}
        await postroom.publish(session, channel="email", payload=payload, key=f"order:{order_id}")
    return {"id": order_id}
