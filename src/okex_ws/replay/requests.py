"""Which request of a recorded connection an answer is the answer to."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ..protocol.messages import Refused
from .channels import ReplayDialect


class _RecordedRequest(NamedTuple):
    op: str
    number: str | None
    keys: list[str]


class Outstanding:
    """What one connection asked for, and was not answered yet."""

    def __init__(self, dialect: ReplayDialect) -> None:
        # Nobody wrote down what was asked: every answer is one.
        self.unknown = False
        self._dialect = dialect
        self._requests: list[_RecordedRequest] = []
        self._logging_in = False

    def note_sent(self, payload: bytes) -> None:
        """A text was sent."""
        try:
            said: dict[str, Any] = json.loads(payload)
            op, number = said["op"], said.get("id")
            if op == "login":
                self._logging_in = True
                return
            keys = self._dialect.keys(said["args"])
        except (ValueError, LookupError, TypeError, AttributeError):
            return  # a ping, or what no request is
        self._requests.append(_RecordedRequest(op, number, keys))

    def acknowledged(self, op: str, key: str) -> list[str]:
        """The channel, if this is the answer to a request *op* of it."""
        for request in self._requests:
            if request.op == op and key in request.keys:
                self._answer(request, [key])
                return [key]
        return [key] if self.unknown else []

    def refused(self, message: Refused) -> tuple[str, list[str]]:
        """Whom an error means, as `Session` finds it; nobody, if it answers nothing."""
        named = self._dialect.wire.mentioned(message.message)
        for request in self._requests:
            mine = [key for key in named if key in request.keys]
            by_number = message.id is not None and message.id == request.number
            if by_number or (message.id is None and (mine or not named)):
                keys = mine or list(request.keys)
                self._answer(request, keys)
                return request.op, keys
        return "subscribe", []

    def _answer(self, request: _RecordedRequest, keys: list[str]) -> None:
        for key in keys:
            request.keys.remove(key)
        if not request.keys:
            self._requests.remove(request)

    def logged_in(self) -> None:
        """A login was accepted."""
        self._logging_in = False

    def refuses_login(self) -> bool:
        """Whether an error is the answer to a login."""
        asked, self._logging_in = self._logging_in, False
        return asked
