"""JSON is decoded to the same values with orjson as by `json`, whatever the text."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpcsweep.store import exact_json

numbers = st.one_of(
    st.integers().map(str),
    st.integers(-(2**66), 2**66).map(str),
    st.floats().map(json.dumps),
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
texts = st.one_of(
    st.text().map(json.dumps),
    st.text(st.characters(exclude_categories=["Cs"])).map(
        lambda text: json.dumps(text, ensure_ascii=False)
    ),
    st.from_regex(r'"(\\u[0-9a-fD]{4}){1,3}"', fullmatch=True),
)
json_texts = st.recursive(
    st.sampled_from(["null", "true", "false", "NaN", "Infinity", "-Infinity"]) | numbers | texts,
    lambda inner: (
        st.lists(inner).map(lambda parts: f"[{', '.join(parts)}]")
        | st.lists(st.tuples(texts, inner)).map(
            lambda pairs: f"{{{','.join(f'{name}:{value}' for name, value in pairs)}}}"
        )
    ),
)


def outcome(loads: Callable[[bytes], Any], data: bytes) -> str:
    """The value with the types of all its parts, or that there is none."""
    try:
        return repr(loads(data))
    except ValueError:
        return "none"


@given(json_texts | st.text())
@example("18446744073709551616")
@example("[-9223372036854775809]")
@example('{"a":0.00012345678901234567, "b":9223372036854775808}')
@example('"\\ud800"')
@example('{"a":1,"b":2,"a":3}')
@example("1e999")
def test_the_value_is_that_of_json(text: str) -> None:
    data = text.encode(errors="surrogatepass")
    assert outcome(exact_json.loads, data) == outcome(lambda one: json.loads(one.decode()), data)


@given(st.binary())
def test_other_bytes_are_refused_alike(data: bytes) -> None:
    assert outcome(exact_json.loads, data) == outcome(lambda one: json.loads(one.decode()), data)


def test_deep_nesting() -> None:
    for depth in (500, 1025):
        data = b"[" * depth + b"]" * depth
        try:
            expected = json.loads(data)
        except RecursionError:
            with pytest.raises(RecursionError):
                exact_json.loads(data)
        else:
            assert exact_json.loads(data) == expected


def test_orjson_is_used_where_it_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    def fast(data: bytes) -> str:
        return f"fast {data!r}"

    monkeypatch.setattr(exact_json, "_fast", fast)
    assert exact_json.loads(b"[0.00012345678901234567]").startswith("fast")
    assert exact_json.loads(b"1234567890123456789") == 1234567890123456789
    monkeypatch.setattr(exact_json, "_fast", None)
    assert exact_json.loads(b"[0.5]") == [0.5]


def test_without_orjson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "orjson", None)
    module = runpy.run_path(exact_json.__file__)
    assert module["_fast"] is None
    assert module["loads"](b'{"a":[1.0]}') == {"a": [1.0]}
