"""Postroom: if your transaction commits, its side effect happens, or a person is told."""

__version__ = "0.1.0"
