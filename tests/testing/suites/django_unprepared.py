"""A project that keeps pytest-django from making a test database."""

import pytest


@pytest.fixture(scope="session")
def django_db_setup():
    pass


def test_it(postroom):
    pass
