"""Write YAML, as in `params.yaml`, so that every YAML reader, 1.1 or 1.2, gets the same values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

# A key that every YAML version reads as this string.
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_NOT_PLAIN = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# Characters that JSON does not escape, but YAML readers refuse or take for a line end.
_UNPRINTABLE = (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)
_ESCAPES = {code: f"\\u{code:04x}" for code in _UNPRINTABLE}
# A longer key needs the explicit `? key` form: YAML readers look no further for the colon.
_LONGEST_KEY = 1000


def params_yaml(params: Mapping[str, Any]) -> bytes:
    """The params as a YAML mapping: one line each, sorted keys, nested values in flow style."""
    if not params:
        return b"{}\n"
    return "".join(_line(key_text(name), flow(params[name])) for name in sorted(params)).encode()


def _line(key: str, value: str) -> str:
    return f"{key}: {value}\n" if len(key) <= _LONGEST_KEY else f"? {key}\n: {value}\n"


def key_text(name: str) -> str:
    """The key of a mapping in a line of its own."""
    plain = _PLAIN_KEY.match(name) and name.lower() not in _NOT_PLAIN
    return name if plain else _string(name)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).translate(_ESCAPES)


def flow(value: Any) -> str:
    """A value in one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(_member(_string(k), flow(v)) for k, v in value.items()) + "}"
    return "[" + ", ".join(map(flow, value)) + "]"


def _member(key: str, value: str) -> str:
    return f"{key}: {value}" if len(key) <= _LONGEST_KEY else f"? {key} : {value}"


def _float(value: float) -> str:
    if not math.isfinite(value):
        return {math.inf: ".inf", -math.inf: "-.inf"}.get(value, ".nan")
    text = repr(value)
    # YAML 1.1 needs a point in the mantissa and a sign in the exponent: it reads 1e-05 as text.
    mantissa, letter, exponent = text.partition("e")
    if letter and "." not in mantissa:
        mantissa += ".0"
    if letter and exponent[0] not in "+-":
        exponent = "+" + exponent
    return mantissa + letter + exponent
