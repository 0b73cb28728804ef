"""Decimal contexts that a script may have set, and that change or refuse results."""

from __future__ import annotations

import decimal

# All signals: each one raises.
TRAPS = list(decimal.Context().flags)

HOSTILE = [
    *(decimal.Context(prec=digits) for digits in (1, 2, 6)),
    decimal.Context(traps=TRAPS),
    decimal.Context(prec=1, traps=TRAPS),
    decimal.Context(prec=3, Emax=1, Emin=-1, clamp=1),
    decimal.Context(prec=1, Emax=0, Emin=0, traps=TRAPS),
    *(
        decimal.Context(prec=4, rounding=way)
        for way in (decimal.ROUND_UP, decimal.ROUND_FLOOR, decimal.ROUND_05UP)
    ),
]
