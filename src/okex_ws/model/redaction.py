"""The secrets of a key are cut out of all that a peer says. No I/O."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

from .credentials import Credentials
from .numbers import Clean

_DOTS = "..."
# A shorter secret is cut out only where it is a whole word. Elsewhere it is most likely
# a part of another word, and cutting it out would leave no text that can be read.
_SHORTEST_PART = 6
# Characters of a text for people, before it is cleaned. A longer one is left out.
_LONGEST = 10_000
# How often escapes may be nested (JSON in JSON, and so on), and how many a text may
# have. A text with more is left out, because a search would take too long.
_DEEPEST = 6
_MOST = 50_000
# Base64 of an HMAC-SHA256, and what is glued to its front. Every login has another
# signature. The search begins at the start of a run alone, so that it is linear.
_SIGNATURE = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43,}=")
_SIGNATURE_LENGTH = 44
_ESCAPING = "\\%&\0"
_FIRST_ESCAPE = re.compile(f"[{re.escape(_ESCAPING)}]")
_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|x([0-9a-f]{2})|([a-z])|(.))", re.S | re.I)


class Redaction:
    """Replaces the secrets of *credentials* by dots in all that a peer says.

    The secrets are the key's three texts, and all that looks like the signature of a
    login. A peer may repeat them anywhere, with escapes of JSON, nested or not, and in
    letters of another case. A text that has a secret in another writing (percent signs
    of a URL, entities of HTML, UTF-16) is left out as a whole. An object never
    changes.
    """

    def __init__(self, credentials: Credentials) -> None:
        names = credentials.__slots__
        # The longest first: a shorter secret may be a part of a longer one.
        secrets = sorted((getattr(credentials, n) for n in names), key=len)[::-1]
        self._small = [secret.lower() for secret in secrets]
        self._longest = max(_SIGNATURE_LENGTH, *map(len, secrets))
        self._plain = _compiled(_form(secret, re.escape) for secret in secrets)
        self._escaped = _compiled(_form(secret, _escapable) for secret in secrets)

    def text(self, text: str) -> str:
        """*text* without a secret, and otherwise unchanged."""
        text = self._shown(text)
        if self._hides(text):
            text = self._escaped.sub(_DOTS, text) if len(text) <= _LONGEST else _DOTS
            return _DOTS if self._hides(text) else text
        return text

    def beginning(self, text: str) -> str:
        """So much of *text*, which was cut off, as can have no part of a secret.

        It ends before the first escape, behind which a part could not be found.
        """
        cleaned = self._shown(_FIRST_ESCAPE.split(text, maxsplit=1)[0])
        return cleaned[: max(0, len(cleaned) - self._longest)]

    def sentence(self, text: str) -> str:
        """*text* for an error or a log: without a secret, up to its first ``{``.

        What follows may repeat a whole request.
        """
        return _DOTS if len(text) > _LONGEST else self.text(text).partition("{")[0]

    def _shown(self, text: str) -> str:
        """*text* without the secrets that it has as they are. Fast, for recordings."""
        small = text.lower()
        if any(secret in small for secret in self._small):
            text = self._plain.sub(_DOTS, text)
        return _SIGNATURE.sub(_DOTS, text) if "=" in text else text

    def _hides(self, text: str) -> bool:
        """Whether escapes of *text* hide a secret, or are too many to tell."""
        if (found := sum(map(text.count, _ESCAPING))) > _MOST:
            return True
        for _ in range(_DEEPEST if found else 0):
            before = text
            for unescape in (_unescape_json, unquote, html.unescape, _without_nul):
                text = unescape(text)
                if self._shown(text) != text:
                    return True
            if text == before:
                return False
        return found > 0


def make_clean(credentials: Credentials | None) -> Clean:
    """What takes the secrets of *credentials*, if any, out of a text for people."""
    return str if credentials is None else Redaction(credentials).sentence


def _compiled(forms: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(forms), re.IGNORECASE)


def _form(secret: str, escape: Callable[[str], str]) -> str:
    """The regular expression of *secret*, each character written by *escape*."""
    form = "".join(map(escape, secret))
    if len(secret) >= _SHORTEST_PART:
        return form
    before = r"(?<![^\W_])" if secret[0].isalnum() else ""
    return before + form + (r"(?![^\W_])" if secret[-1].isalnum() else "")


def _escapable(character: str) -> str:
    r"""*character* as it is, behind backslashes, or as JSON's ``\u0041``."""
    # Few backslashes at each place: a text of a million would take for ever otherwise.
    packed = character.encode("utf-16-be").hex()
    units = (r"\\{1,7}u" + packed[at : at + 4] for at in range(0, len(packed), 4))
    return rf"(?:\\{{0,7}}{re.escape(character)}|{''.join(units)})"


def _unescape_json(text: str) -> str:
    said = _ESCAPE.sub(_unescaped, text)
    # Joins the two halves of a character beyond the first plane.
    return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _without_nul(text: str) -> str:
    """*text* as it is behind UTF-16 that was read as bytes."""
    return text.replace("\0", "")


def _unescaped(match: re.Match[str]) -> str:
    number, letter, other = match[1] or match[2], match[3], match[4]
    if number:
        return chr(int(number, 16))
    return " " if letter else other
