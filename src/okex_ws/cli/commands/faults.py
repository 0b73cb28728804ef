"""Commands that cause faults of the local exchange: ``drop``, ``silence 5``.

A command is the name of a control method of `LocalExchange` and its arguments. A fault
that lasts may be given a number of seconds, after which it ends by itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...base.checks import nearest

if TYPE_CHECKING:
    from ...local_exchange import LocalExchange

Undo = Callable[[], object]


class FaultCommand(NamedTuple):
    """A command of ``serve``: how it is written, what it means, and how it is read.

    *kinds* are callables that convert the arguments, of which the first *least* must be
    given. *undo* is a callable that ends the fault; a command that has it takes a
    number of seconds as its last argument.
    """

    usage: str
    meaning: str
    kinds: tuple[Callable[[str], Any], ...] = ()
    least: int = 0
    undo: Callable[[LocalExchange], object] | None = None


class FaultResult(NamedTuple):
    """What to print about a command, and what ends its fault after *seconds*.

    Without an *undo* nothing ends the fault.
    """

    said: str
    seconds: float = 0.0
    undo: Undo | None = None


FAULT_COMMANDS: dict[str, FaultCommand] = {
    "drop": FaultCommand("drop", "abort the TCP of every connection"),
    "close_clients": FaultCommand(
        "close_clients [CODE] [REASON]", "send every client a close frame", (int, str)
    ),
    "notice": FaultCommand(
        "notice", "announce to v5 clients that the connection will close"
    ),
    "refuse": FaultCommand(
        "refuse [SECONDS]",
        "refuse new connections",
        undo=lambda exchange: exchange.refuse(False),
    ),
    "slow_handshake": FaultCommand(
        "slow_handshake SECONDS", "answer handshakes so much later", (float,), 1
    ),
    "respond": FaultCommand(
        "respond STATUS", "answer handshakes with an HTTP page", (int,), 1
    ),
    "silence": FaultCommand(
        "silence [SECONDS]",
        "push nothing: to a client, a market that became quiet",
        undo=lambda exchange: exchange.resume(),
    ),
    "mute": FaultCommand(
        "mute [SECONDS]",
        "send nothing at all, no pong either",
        undo=lambda exchange: exchange.resume(),
    ),
    "resume": FaultCommand(
        "resume [INSTRUMENT]",
        "end silence and mute, or what the next three began",
        (str,),
    ),
    "suspend": FaultCommand("suspend INSTRUMENT", "suspend its trading", (str,), 1),
    "settle": FaultCommand("settle INSTRUMENT", "begin to settle it", (str,), 1),
    "rebase": FaultCommand(
        "rebase INSTRUMENT CONTRACT",
        "change what a contract is worth",
        (str, str),
        2,
    ),
    "delist": FaultCommand("delist INSTRUMENT", "end it", (str,), 1),
    "rename": FaultCommand(
        "rename INSTRUMENT NEW", "give it another id", (str, str), 2
    ),
    "spoil": FaultCommand(
        "spoil CHANNEL HOW",
        "go wrong about a whole book: spoil books:BTC-USDT lose",
        (str, str),
        2,
    ),
    "reject": FaultCommand(
        "reject CHANNEL CODE MESSAGE",
        "refuse subscribes of a channel",
        (str, int, str),
        3,
    ),
    "ignore_subscribe": FaultCommand(
        "ignore_subscribe CHANNEL", "do not react to a subscribe", (str,), 1
    ),
    "send_error": FaultCommand(
        "send_error CODE MESSAGE", "send every client an error event", (int, str), 2
    ),
    "heal": FaultCommand("heal", "end every fault"),
}


def perform(exchange: LocalExchange, text: str) -> FaultResult:
    """Run the command *text* on *exchange*.

    Raises:
        ValueError, TypeError: *text* is no command, or its arguments do not fit.
    """
    name, *arguments = shlex.split(text)
    word = _find(name)
    seconds = 0.0
    if word.undo is not None and arguments:
        seconds = _seconds(arguments.pop())
    values = _values(word, arguments)
    answer = getattr(exchange, name)(*values)
    said = f"{text}: {answer} clients" if isinstance(answer, int) else text
    if not seconds or word.undo is None:
        return FaultResult(said)
    undo = word.undo
    return FaultResult(f"{said} seconds", seconds, lambda: undo(exchange))


def check(text: str) -> None:
    """Raise what `perform` would raise for the words of *text*, but run nothing."""
    parts = shlex.split(text)
    if not parts:
        raise ValueError("a fault has a name")
    word = _find(parts[0])
    arguments = parts[1:]
    if word.undo is not None and arguments:
        _seconds(arguments.pop())
    _values(word, arguments)


def usage() -> list[str]:
    """A line of help for each command."""
    width = max(len(word.usage) for word in FAULT_COMMANDS.values())
    return [f"{word.usage:{width}}  {word.meaning}" for word in FAULT_COMMANDS.values()]


def _find(name: str) -> FaultCommand:
    if name not in FAULT_COMMANDS:
        raise ValueError(
            f"unknown fault {name!r}{nearest(name, FAULT_COMMANDS)}; try 'help'"
        )
    return FAULT_COMMANDS[name]


def _values(word: FaultCommand, arguments: Sequence[str]) -> list[Any]:
    if not word.least <= len(arguments) <= len(word.kinds):
        raise ValueError(f"it is written: {word.usage}")
    try:
        return [kind(text) for kind, text in zip(word.kinds, arguments, strict=False)]
    except ValueError as error:
        raise ValueError(f"it is written: {word.usage} ({error})") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise ValueError(f"{text!r} is no number of seconds more than zero")
    return seconds
