"""Each test has a session whose transaction is rolled back; Postroom looks into the same one."""

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session


@pytest.fixture
def session(postroom_database_url):
    engine = create_engine(postroom_database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        outer.rollback()
    engine.dispose()


@pytest.fixture
def postroom_connection(session):
    return session
