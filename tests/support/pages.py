"""The pages for users, the README and the guide, and what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path
from typing import NamedTuple

from okex_ws import CauseCode
from okex_ws.model.exchange_codes import CODES

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "src" / "okex_ws" / "guide"
README = (ROOT / "README.md").read_text("utf-8")
TOPICS = {path.stem: path.read_text("utf-8") for path in sorted(GUIDE.glob("*.md"))}
PAGES = {"README": README, **TOPICS}


class Program(NamedTuple):
    """A program of a page, and the block of output that follows it (``''``: none)."""

    page: str
    source: str
    output: str

    def __repr__(self) -> str:
        # A test's id: the page, and where in it.
        lines = PAGES[self.page].partition(self.source)[0].count("\n")
        return f"{self.page}:{lines}"


def _programs() -> Iterator[Program]:
    pattern = r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?"
    for page, text in PAGES.items():
        for source, output in re.findall(pattern, text, flags=re.DOTALL):
            yield Program(page, source, output)


PROGRAMS = [*_programs()]
# What is typed in a terminal, in its order, with its page.
TYPED = [
    (page, line)
    for page, text in PAGES.items()
    for line in re.findall(r"^\$ okex-ws (.*)$", text, flags=re.MULTILINE)
]


def codes(protocol: str) -> list[str]:
    """The exchange's codes of *protocol* as the page ``codes`` has them, in order."""
    rows = sorted(CODES[protocol].values(), key=lambda row: (len(row.code), row.code))
    return [
        f"| code of {protocol} | the exchange | the library | cause |",
        "|---|---|---|---|",
        *(
            f"| `{row.code}` | {row.meaning} | {row.advice.does} |"
            f" {f'`{row.advice.cause_code}`' if len(row.code) == 5 else ''} |"
            for row in rows
        ),
    ]


def causes() -> list[str]:
    """The table of the codes as the page ``causes`` has it: of `CauseCode`'s doc."""
    rows, group = ["| code | | |", "|---|---|---|"], ""
    for block in str(getdoc(CauseCode)).split("\n\n")[1:]:
        if not block.startswith("- "):
            group = block.rstrip(":").lower()
            continue
        for names, meaning in re.findall(r"- (``.*?``): (.*?)(?=\n- |\Z)", block, re.S):
            codes = [CauseCode[name] for name in re.findall("``(.*?)``", names)]
            shown = ", ".join(f"`{code}`" for code in codes)
            said = " ".join(meaning.split()).replace("``", "`").rstrip(".")
            rows.append(f"| {shown} | {group} | {said} |")
    return rows
