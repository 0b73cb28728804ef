"""Everything that reads the wire, fed with what nobody should send.

A target makes an input of a seeded `random.Random`, hands it to the real code, and
judges what comes out: a value that keeps what its type promises, or the one family of
exceptions that its docstring names. The command and the suite share every mutator.

`python -m tests.fuzz --seconds 600 --seed 1 --json FILE`, from the repository.
"""
