"""The text of params and metrics in the index is the text that `json` writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.store import record_rows

plain = st.text(st.characters(exclude_categories=["Cs"]))
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain,
    lambda inner: st.lists(inner) | st.dictionaries(plain, inner),
)


@given(value=values)
def test_the_text_is_exact(value: Any) -> None:
    expected = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert record_rows.json_text(value) == expected


def test_without_the_c_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    encode = record_rows._encoder()  # noqa: SLF001  # made once, when the module is imported
    assert encode({"a": [1.0, "ä"]}) == '{"a":[1.0,"ä"]}'


def test_text_that_utf_8_cannot_encode_is_escaped() -> None:
    """It alone: in an escaped text SQLite 3.40 finds no key with other than ASCII characters."""
    text = record_rows.json_text({"ä": "a\ud800\udc00", "\ud800": "ä"})
    assert text == '{"ä":"a\\ud800\\udc00","\\ud800":"ä"}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [-float("inf")]}])
def test_values_without_json_form_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        record_rows.json_text(value)
