"""The page *Differences*: in what two sweeps, or two submissions, differ."""

from __future__ import annotations

from typing import Any

from hpcsweep.logbook.json_values import with_words
from hpcsweep.tables.compare import SweepComparison

# Differences that are drawn, and those of them that are listed: the largest.
DRAWN_MAX, LISTED_MAX = 5000, 100
# Characters of a digest, and of a value that is no number.
DIGEST_DIGITS, VALUE_MAX = 12, 200


def differences(comparison: SweepComparison) -> dict[str, Any]:
    """The data of the page."""
    document = comparison.to_json()
    drawn = document.pop("differences")
    for side in (document["a"], document["b"]):
        side["code"] = {name[:DIGEST_DIGITS]: count for name, count in side["code"].items()}
        del side["environment"]
    plain: dict[str, Any] = with_words(document)
    return plain | {
        "differences": [_difference(one) for one in drawn[:DRAWN_MAX]],
        "count": len(drawn),
        "listed": LISTED_MAX,
    }


def _difference(one: dict[str, Any]) -> dict[str, Any]:
    """A difference with numbers and short texts alone."""
    return {name: _shown(value) for name, value in one.items()}


def _shown(value: Any) -> Any:
    plain = with_words(value)
    if plain is None or isinstance(plain, bool | int | float):
        return plain
    text = str(plain)
    return text if len(text) <= VALUE_MAX else f"{text[:VALUE_MAX]}…"
