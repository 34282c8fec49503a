"""Injected damage: unusual JSON values at any place of a document."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from hypothesis import strategies as st

# JSON texts that json.dumps cannot write, by their placeholders.
RAW = {"@deep@": "[" * 5000 + "]" * 5000, "@1e999@": "1e999", "@long@": "9" * 5000}
_ODD = (
    *(None, True, False, 0, -1, 1, 2, 999_999, 1_000_000, 2**31, 2**63, 10**30, -(10**30)),
    *(0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")),
    *("", "\0", "\ud800", "ä\u2028", "complete", "end", "none", "0" * 16, "f" * 16, "x" * 5000),
    *("../../etc/passwd", "/dev/zero", "a.tar#0+1", "a.tar#-1+99999999999999999999"),
    *("99999-01-01T00:00:00", "2026-02-30T00:00:00", "2026-01-01T00:00:00+99:00"),
    *([], {}, [0, 1], ["end"], {"message": 1}, {"\ud800": "\0"}, *RAW),
)
odd_values = st.recursive(
    st.sampled_from(_ODD) | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def text_of(value: Any) -> bytes:
    """The JSON text of a value, its placeholders replaced by the texts of RAW."""
    text = json.dumps(value)
    for name, raw in RAW.items():
        text = text.replace(json.dumps(name), raw)
    return text.encode()


@st.composite
def spoiled(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to three of its values replaced, removed, or with one more."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        place, key = document, draw(_keys(document))
        while isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            key = draw(_keys(place))
        match draw(st.integers(0, 4)):
            case 0:
                del place[key]
                if not place:
                    return document
            case 1 if isinstance(place, dict):
                place[draw(st.text(max_size=3))] = draw(odd_values)
            case _:
                place[key] = draw(odd_values)
        if not document:
            break
    return document


def _keys(place: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))


# What a field of digits may become: signs, spaces and separators that int() takes, and too much.
_DIGITS = (b"-1", b"+1", b" 1", b"0", b"00", b"1_0", b"9" * 30, b"\xb2", b"x", b"")


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with one to three of them flipped, cut out, put in, or their numbers replaced."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.sampled_from([1, 2, 8, 100, 512, len(data)])))
        match draw(st.integers(0, 5)):
            case 0 if at < len(data):
                data[at] ^= draw(st.integers(1, 255))
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = draw(st.binary(max_size=20))
            case 3:
                data[at:at] = data[at:end]
            case 4:
                data[at:end] = bytes(end - at)
            case _:
                fields = list(re.finditer(rb"[0-9]+", bytes(data)))
                if fields:
                    field = draw(st.sampled_from(fields))
                    digits = draw(st.sampled_from(_DIGITS))
                    same = digits.rjust(field.end() - field.start(), b"0")
                    data[field.start() : field.end()] = draw(st.sampled_from([digits, same]))
    return bytes(data)
