"""A feed read on other machines, through Redis, with evidence that ages."""
