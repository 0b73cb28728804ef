"""A seeded campaign of faults: every price that is read meanwhile is judged.

`python -m tests.campaign --seconds 180 --seed 1 --json FILE`, from the repository.
"""
