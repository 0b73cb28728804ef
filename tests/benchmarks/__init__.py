"""How fast the default path is, beside the seed's class: `python -m tests.benchmarks`.

Not collected by pytest but for a smoke test: nothing here asserts a duration.
"""
