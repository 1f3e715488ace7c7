"""Keeps `python -m app.jobs.run` and `from app.stripe import on` alive in a checkout and in deployments.

It is not in the wheel: an application may have an `app` of its own.
"""
