"""What Hydra's Optuna sweeper adds to a multirun: intervals, a count of trials, a direction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from hpcsweep.foreign.draft import Draft, SearchOffer

# Keys of `hydra.sweeper` that are carried over.
SWEEPER_KEYS = ("_target_", "direction", "n_trials")
# Trials without `n_trials`, as in the plugin.
_TRIALS = 20
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_INTERVAL = re.compile(
    rf"\s*(?P<log>tag\(\s*log\s*,\s*)?interval\(\s*(?P<low>{_NUMBER})\s*,\s*(?P<high>{_NUMBER})"
    r"\s*\)(?(log)\s*\))\s*"
)


def is_optuna(sweeper: Mapping[str, Any]) -> bool:
    """Whether `hydra.sweeper` is Optuna's."""
    return "optuna" in str(sweeper.get("_target_", "")).lower() or bool(
        sweeper.keys() & {"direction", "n_trials"}
    )


def interval(text: str) -> dict[str, Any] | None:
    """The rule of `interval(0, 1)`, also of `tag(log, interval(1, 9))`; None for others."""
    found = _INTERVAL.fullmatch(text)
    if found is None:
        return None
    are_integers = all(found[bound].lstrip("+-").isdigit() for bound in ("low", "high"))
    number: type[int | float] = int if are_integers else float
    kind = ("LogUniformInt" if found["log"] else "RandInt") if are_integers else ""
    kind = kind or ("LogUniform" if found["log"] else "Uniform")
    return {"type": kind, "low": number(found["low"]), "high": number(found["high"])}


def drawn(axis: Any) -> Any:
    """The rule that draws from the values of an axis."""
    match axis:
        case list():
            return {"type": "Choice", "options": axis}
        case {"range": [int(start), int(stop)]}:
            return {"type": "RandInt", "low": start, "high": stop - 1}
        case {"range": [*bounds]}:
            return {"type": "Choice", "options": list(range(*bounds))}
    low, high, step = (Decimal(str(bound)) for bound in axis["arange"])
    # The end of a range is left out.
    last = low + ((high - low) / step).to_integral_value(ROUND_CEILING) * step - step
    return {"type": "QUniform", "low": float(low), "high": float(last), "step": float(step)}


def search(draft: Draft, sweeper: Mapping[str, Any], space: dict[str, Any]) -> None:
    """Make the source of a draft of random draws, and offer a search."""
    n = sweeper.get("n_trials", _TRIALS)
    directions = sweeper.get("direction", "minimize")
    draft.source = {"random": {"space": space, "n_trials": n, "seed": 0}}
    draft.left_out.append(
        "the sweeper: the same distributions are drawn at random, whatever the results"
    )
    if directions in ("minimize", "maximize"):
        draft.search = SearchOffer(instead_of="Optuna's sweeper", n=n, direction=directions)
    else:
        draft.left_out.append(f"direction: {directions}; a search has one objective")
