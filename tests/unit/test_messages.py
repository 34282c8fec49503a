"""Messages of a child arrive intact, or are recognised as damaged."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.records import Reason
from hpcsweep.worker import messages
from hpcsweep.worker.messages import ANSWER_MAX, GarbledReply, ReplyReader, parse_answer, send_reply

SAID = {"status": 0, "cpu_seconds": 0.5}
ANSWER = json.dumps({"reason": "error", "error": None, "metrics": {"y": 1}, "returned": True})


def said(token: bytes) -> bytes:
    """The bytes of one message."""
    inward, outward = os.pipe()
    try:
        send_reply(outward, token, SAID, ANSWER.encode())
        return os.read(inward, 1 << 16)
    finally:
        os.close(inward)
        os.close(outward)


def heard(reader: ReplyReader) -> list[tuple[dict[str, Any], bytes]]:
    found = []
    while one := reader.next():
        found.append(one)
    return found


@given(st.lists(st.integers(0, 200), max_size=8))
def test_replies_may_arrive_in_pieces(cuts: list[int]) -> None:
    reader = ReplyReader()
    data = said(reader.token) * 2
    found = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        reader.feed(data[begin:end])
        found += heard(reader)
    assert found == [(SAID, ANSWER.encode())] * 2


@given(st.binary(min_size=1, max_size=60), st.integers(0, 150))
def test_messages_of_other_writers_are_recognised(garbage: bytes, at: int) -> None:
    """The reader returns the intact messages before the damage, then ends or raises."""
    reader = ReplyReader()
    data = said(reader.token)
    at = min(at, len(data))
    reader.feed(data + data[:at] + garbage + data[at:])
    try:
        found = heard(reader)
    except GarbledReply:
        return
    assert found == [(SAID, ANSWER.encode())] * len(found)


def test_an_absurd_length_is_garbled() -> None:
    reader = ReplyReader()
    reader.feed(reader.token + (2 * ANSWER_MAX + 1).to_bytes(8))
    with pytest.raises(GarbledReply):
        reader.next()


def test_the_token_of_another_child_is_rejected() -> None:
    reader = ReplyReader()
    reader.feed(said(ReplyReader().token))
    with pytest.raises(GarbledReply):
        reader.next()


@given(
    st.one_of(st.binary(max_size=50), st.recursive(st.none(), st.lists).map(repr).map(str.encode))
)
def test_no_message_of_a_case_breaks_the_worker(answer: bytes) -> None:
    with contextlib.suppress(GarbledReply):
        assert parse_answer(answer) is None or answer


@pytest.mark.parametrize(
    "answer",
    [
        b"[]",
        b"{}",
        b"[" * 100_000,
        ANSWER.replace("error", "nosuch", 1).encode(),
        ANSWER.replace('{"y": 1}', "[1]").encode(),
        ANSWER.replace("null", "3").encode(),
        ANSWER.replace("true", "3").encode(),
    ],
)
def test_an_answer_of_a_wrong_shape(answer: bytes) -> None:
    with pytest.raises(GarbledReply):
        parse_answer(answer)


def test_a_right_answer() -> None:
    found = parse_answer(ANSWER.encode())
    assert found == json.loads(ANSWER) | {"reason": Reason.ERROR}
    assert parse_answer(b"") is None
    assert messages.ANSWER_MAX >= 100_000_000
