"""The distributions of a space as those of Optuna; `foreign.optuna_studies` has the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcsweep import ids


def optuna_distributions(optuna: Any, space: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Optuna's distribution of each parameter that is searched; constants are left out.

    `optuna` is the package; `space` has the manifest dicts of `manifest.search_keys.SEARCHED`.
    """
    made = {name: _distribution(optuna.distributions, space[name]) for name in ids.in_order(space)}
    return {name: one for name, one in made.items() if one is not None}


def constants(space: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The values of the parameters that are not searched."""
    return {name: rule["value"] for name, rule in space.items() if rule["type"] == "Constant"}


def _distribution(kinds: Any, rule: Mapping[str, Any]) -> Any:
    """Optuna's distribution of a rule; None for a constant."""
    match rule["type"]:
        case "Constant":
            return None
        case "Choice":
            # Optuna refuses an option that is listed twice; here it is twice as probable.
            options = {ids.canonical(option): option for option in rule["options"]}
            return kinds.CategoricalDistribution(tuple(options.values()))
        case "RandInt" | "LogUniformInt" as kind:
            is_log = kind == "LogUniformInt"
            return kinds.IntDistribution(rule["low"], rule["high"], log=is_log)
        case kind:
            is_log, step = kind == "LogUniform", rule.get("step")
            return kinds.FloatDistribution(rule["low"], rule["high"], log=is_log, step=step)
