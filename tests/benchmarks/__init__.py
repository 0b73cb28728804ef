"""Benchmarks of the library beside the seed's class: `python -m tests.benchmarks`.

pytest collects only tests that the benchmarks work: no test asserts a duration.
"""
