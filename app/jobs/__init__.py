"""`python -m app.jobs.run` is `postroom work`."""
