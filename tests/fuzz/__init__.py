"""Feeds everything that reads the exchange's bytes with what no exchange should send.

A target makes an input from a seeded `random.Random`, hands it to the real code, and
judges the result: a value that keeps what its type promises, or the one family of
exceptions that its docstring names. The command and the suite share every mutator.

`python -m tests.fuzz --seconds 600 --seed 1 --json FILE`, from the repository.
"""
