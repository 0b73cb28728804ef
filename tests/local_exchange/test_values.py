"""What is pushed can be read again, number by number."""

from __future__ import annotations

import json

from okex_ws.local_exchange.values import Push, to_json


def test_the_numbers_of_an_element_are_their_characters() -> None:
    push = Push("a", '{"data":[{"px":4.10,"seqId":7},["1"]]}')

    assert push.elements == [{"px": "4.10", "seqId": "7"}, ["1"]]
    assert push.element == {"px": "4.10", "seqId": "7"}


def test_json_has_no_spaces_and_no_escapes() -> None:
    assert to_json({"a": ["é", 1]}) == '{"a":["é",1]}'
    assert json.loads(to_json({"a": None})) == {"a": None}
