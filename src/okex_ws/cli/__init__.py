"""The command line, ``okex-ws``, built like a user's program."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .. import __version__
from .arguments import Command
from .commands import (
    doctor,
    export,
    guide,
    history,
    plot,
    publish,
    record,
    replay,
    serve,
    watch,
)
from .exits import MEANING, ending, writable
from .logs import logged

# The help lists the commands in this order: first those that a newcomer needs.
_COMMANDS = (
    watch,
    doctor,
    record,
    replay,
    plot,
    export,
    history,
    publish,
    serve,
    guide,
)

_EXAMPLES = """\
examples:
  okex-ws watch BTC-USDT             live prices, as a ladder
  okex-ws watch --local              the same without any exchange to reach
  okex-ws doctor                     why is there no price?
  okex-ws record BTC-USDT            write down what comes, to replay and plot it
  okex-ws help                       the pages of the guide
  okex-ws COMMAND --help             more of each"""


def parser() -> argparse.ArgumentParser:
    """Build the parser of ``okex-ws`` with all its commands."""
    result = argparse.ArgumentParser(
        prog="okex-ws",
        description="The live OKEX/OKX order book in a terminal, or the word that it is"
        " not live.",
        epilog=f"{_EXAMPLES}\n\n{MEANING}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    result.add_argument(
        "-v", "--verbose", action="store_true", help="log connects to stderr too"
    )
    commands: argparse._SubParsersAction[argparse.ArgumentParser]
    commands = result.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=Command
    )
    for each in _COMMANDS:
        each.add(commands)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, as ``okex-ws --help`` lists them.

    Raises:
        SystemExit: by argparse, for ``--help`` and for arguments that it refuses.
    """
    with writable():
        options = parser().parse_args(argv)

        def run() -> int:
            with logged(options.verbose):
                code: int = options.run(options)
                return code

        return ending(run)
