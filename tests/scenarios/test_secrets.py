"""A hostile exchange repeats a key at every place of its messages: nothing tells it.

Each message is sent to a connection that has logged in. All that the library then says
(errors with all that hangs on them, log records, reprs, the recording) is searched.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from okex_ws import Credentials, RawSubscription, Recorder, State, WSSubscription
from okex_ws.base.errors import HandshakeFailed, OkexWSError
from okex_ws.protocol.v3 import PROTOCOL, deflate
from okex_ws.recording import read
from tests.support.virtual_world import World

KEY = Credentials("11aa22bb-KEY-33cc", "SECRETSECRETSECRET", "Passw0rd-of-mine")
SECRETS = (KEY.api_key, KEY.secret_key, KEY.passphrase)


def everything(thing: object, seen: set[int] | None = None) -> Iterator[str]:
    """Each text that can be reached from an error: attributes, arguments, its chain."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    yield repr(thing)
    yield str(thing)
    if isinstance(thing, (tuple, list)):
        parts = list(thing)
    elif isinstance(thing, dict):
        parts = [*thing, *thing.values()]
    elif isinstance(thing, BaseException):
        names = ("args", "strerror", "filename", "doc", "object", "__notes__")
        parts = [getattr(thing, name, None) for name in names]
        parts += [thing.__cause__, thing.__context__, vars(thing)]
    else:
        parts = []
    for part in parts:
        yield from everything(part, seen)


def unicode_escapes(secret: str) -> str:
    return "".join(f"\\u{ord(each):04x}" for each in secret)


def messages(protocol: str, secret: str) -> Iterator[str | bytes]:
    """Hostile messages that have *secret* at every place, as text or as bytes."""
    padding = "x" * 75
    values: list[Any] = [secret, [secret], {secret: secret}, 5, f"{padding}{secret}"]
    if protocol == "v5":
        argument = {"channel": "account"}
        for event in ("error", "login", "notice", "subscribe", secret):
            yield json.dumps({"event": event, "msg": secret, "code": "60012"})
            for name in ("code", "msg", "arg", "id", "connId", "channel"):
                for value in values:
                    said = {"event": event, "code": "1", "msg": "", name: value}
                    yield json.dumps(said)
        for value in values:
            yield json.dumps({"arg": argument, "data": value})
            yield json.dumps({"arg": argument, "data": [{}], "action": value})
            yield json.dumps({"arg": {"channel": value}, "data": []})
            yield json.dumps({"arg": {**argument, "instId": value}, "data": [5]})
            yield json.dumps({"arg": value, "data": [5]})
            count = {"event": "channel-conn-count", "channel": secret}
            yield json.dumps({**count, "connCount": value})
        yield json.dumps({"arg": {**argument, secret: "x"}, "data": []})
        yield json.dumps({"event": "error", "code": "1", "msg": "x" * 995 + secret})
    else:
        for value in values:
            yield json.dumps({"event": "error", "errorCode": value, "message": secret})
            yield json.dumps({"event": "error", "errorCode": 1, "message": value})
            yield json.dumps({"event": "subscribe", "channel": value})
            yield json.dumps({"event": value, "channel": 5})
            yield json.dumps({"table": "spot/account", "data": value})
            yield json.dumps({"table": "spot/account", "data": [{"currency": value}]})
            yield json.dumps({"table": value, "data": [{"instrument_id": secret}]})
            body = {"table": "spot/account", "data": [{"currency": "BTC"}]}
            yield json.dumps({**body, "action": value})
    yield secret
    yield f'{{"event":"error","msg":"Illegal: {{"op":"login","args":["{secret}"]}}"}}'
    yield f'{{"event":"error","code":"{unicode_escapes(secret)}", broken'
    yield f'{{"event":"error","code":"1","msg":"{unicode_escapes(secret)}"}}'
    yield f'{{"arg":"{unicode_escapes(secret)}","data":[],"action":[]}}'
    yield b"\xff" + secret.encode()
    yield json.dumps({"event": "error", "msg": secret}).encode("utf-16")


@pytest.mark.once
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_no_message_brings_a_secret_into_what_the_library_says(
    protocol: str, secret: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "okex_ws")
    world, told = World(protocol), []
    told_errors: list[Exception] = told
    path = tmp_path / "hostile.rec.gz"
    with Recorder(path) as recorder:
        feed = world.feed(credentials=KEY, recorder=recorder)
        channel: Any = "account" if protocol == "v5" else "spot/account:BTC"
        sub = RawSubscription([channel], feed=feed, on_error=told_errors.append)
        said = list(messages(protocol, secret))
        for number, message in enumerate(said):
            # One kind of fault is logged once a minute.
            at = 1 + 61.0 * number
            world.at(at, lambda message=message: hear(world, message))
        reprs: list[str] = []
        world.at(60.0 * len(said), lambda: reprs.append(f"{feed!r} {sub!r}"))
        world.run(61.0 * len(said) + 5)
        reprs += [repr(sub.health()), repr(sub.stats()), repr(feed.connections())]
        feed.close()

    assert len(told) > 20
    texts = [caplog.text, *reprs, *(t for error in told for t in everything(error))]
    texts += [f"{record.args!r} {record.exc_info!r}" for record in caplog.records]
    assert not [text for text in texts if secret in text]
    for entry in read(path):
        kept = PROTOCOL.unpack(entry.payload, entry.binary)
        said = kept.decode("utf-8", "replace").replace("\0", "")
        assert secret not in said
        assert unicode_escapes(secret) not in said


def hear(world: World, message: str | bytes) -> None:
    """Have the newest connection get *message*; bytes as a text frame that is none."""
    peer = world.peer
    assert peer is not None
    if isinstance(message, str):
        peer.send(message)
    elif world.protocol == "v3":
        peer.send_bytes(deflate(message))
    else:
        peer.send_as_text(message)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_refusal_of_a_connection_brings_a_secret_into_an_error(
    secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    world, errors = World("v5"), []
    told: list[Exception] = errors
    feed = world.feed(credentials=KEY)
    sub = RawSubscription(["account"], feed=feed, on_error=told.append)
    for number, code in enumerate((1000, 4002, 1013)):
        close = (code, f"closed for {secret}")
        world.at(1 + 100 * number, lambda close=close: world.peer.close(*close))  # type: ignore[union-attr]
    wrong = HandshakeFailed("ws://x/", f"proxy: HTTP 403 {secret}", 403)

    def refuse() -> None:
        world.failure = lambda url: wrong
        world.peer.drop()  # type: ignore[union-attr]

    world.at(400, refuse)

    world.run(500)

    assert {type(error).__name__ for error in errors} == {
        "ConnectionLost",
        "HandshakeFailed",
    }
    texts = [caplog.text, str(sub.health())]
    texts += [text for error in errors for text in everything(error)]
    assert not [text for text in texts if secret in text]


@pytest.mark.parametrize("passphrase", ["BTC-USDT", "1", "books-l2-tbt", "BTC", "a"])
def test_a_secret_inside_the_name_of_a_channel_hides_no_message(
    passphrase: str,
) -> None:
    """What is said of a channel is cleaned; what finds the channel is not."""
    key = Credentials("an-api-key", "a-secret-key", passphrase)
    world = World("v5")
    errors: list[Any] = []
    feed = world.feed(credentials=key)
    sub = WSSubscription(
        "BTC-USDT", "spot", channels=["books-l2-tbt"], feed=feed, on_error=errors.append
    )
    states: list[State] = []
    argument = {"channel": "books-l2-tbt", "instId": "BTC-USDT"}
    level = ["100", "1", "0", "1"]
    whole = {"bids": [level], "asks": [["101", "1", "0", "1"]], "ts": "1700000000000"}

    def push(action: str, **fields: Any) -> None:
        data = [{**whole, **fields}]
        world.peer.send({"arg": argument, "action": action, "data": data})  # type: ignore[union-attr]

    world.at(1, lambda: push("snapshot", seqId="5", prevSeqId="-1"))
    world.at(2, lambda: states.append(sub.state))
    world.at(3, lambda: push("update", seqId="9", prevSeqId="8"))
    world.at(3.01, lambda: states.append(sub.state))

    world.run(4)

    assert states == [State.LIVE, State.RESYNCING]
    assert [error.kind for error in errors] == ["sequence"]
    if len(passphrase) > 5:
        assert not any(passphrase in text for text in everything(errors[0]))


def test_an_internal_error_is_told_without_what_the_exchange_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World("v5")
    errors: list[OkexWSError] = []
    feed = world.feed(credentials=KEY)
    sub = RawSubscription(["account"], feed=feed, on_error=errors.append)  # type: ignore[arg-type]
    from okex_ws.protocol.v5 import V5

    def broken(self: Any, said: bytes) -> Any:
        try:
            json.loads(b"{" + said)
        except ValueError as error:
            raise KeyError(KEY.passphrase) from error

    world.at(1, lambda: monkeypatch.setattr(V5, "read", broken))
    world.at(1, lambda: world.peer.send(KEY.passphrase))  # type: ignore[union-attr]

    world.run(2)

    assert errors
    assert "internal error" in str(errors[0])
    assert "internal error" in caplog.text
    texts = [caplog.text, str(sub.health())]
    texts += [text for error in errors for text in everything(error)]
    assert not [text for text in texts if KEY.passphrase in text]
