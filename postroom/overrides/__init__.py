"""What changes private parts of a library. Each module names its library and has a test in `tests/overrides`,
which fails when a new version works otherwise.
"""
