"""A manifest of a W&B sweep file: its parameters, its method as far as it goes, its command."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from hpcsweep import yamltext
from hpcsweep.errors import InputError
from hpcsweep.foreign.draft import (
    N_TRIALS,
    Draft,
    ImportRequest,
    ParameterNames,
    SearchOffer,
    literal,
    program_of,
)
from hpcsweep.ids import slug

_KNOWN = ("command", "method", "name", "parameters", "program", "run_cap")
_DEFAULT_COMMAND = ["${env}", "${interpreter}", "${program}", "${args}"]
# Elements of a command that become one element for each parameter.
_ARGUMENTS = {
    "${args}": "--{name}={{{parameter}}}",
    "${args_no_boolean_flags}": "--{name}={{{parameter}}}",
    "${args_no_hyphens}": "{name}={{{parameter}}}",
}


def import_file(request: ImportRequest) -> Draft:
    """The draft of a sweep file in YAML or JSON. *Raises* InputError."""
    sweep = yamltext.load(Path(request.source)).value
    if not isinstance(sweep, dict) or not isinstance(sweep.get("parameters"), dict):
        raise InputError(
            "has no parameters",
            where=request.source,
            next_step="Name the YAML file of a W&B sweep, with method and parameters.",
        )
    name = str(sweep.get("name") or Path(request.source).stem)
    draft = Draft(name=slug(name, 64), command=[])
    draft.leave_out(sweep, _KNOWN)
    parameters = dict(_flattened(sweep["parameters"], ""))
    if any("." in name for name in parameters):
        draft.changed.append(
            "nested parameters have an argument each, --outer.inner=value; W&B passes one mapping"
        )
    names = ParameterNames(draft)
    method = sweep.get("method", "grid")
    if method == "bayes":
        draft.search = _search_offer(sweep)
    if method == "grid" and "run_cap" in sweep:
        draft.left_out.append(f"run_cap: {sweep['run_cap']}; the whole grid is run")
    draft.source = (
        _grid(parameters, names, draft)
        if method == "grid"
        else _random(parameters, names, draft, method, sweep.get("run_cap"))
    )
    _fill_command(sweep, request, parameters, names, draft)
    return draft


def _search_offer(sweep: Mapping[str, Any]) -> SearchOffer:
    metric = sweep.get("metric")
    metric = metric if isinstance(metric, dict) else {}
    return SearchOffer(
        instead_of="method: bayes",
        n=sweep.get("run_cap") or N_TRIALS,
        objective=str(metric.get("name") or "value"),
        direction="maximize" if metric.get("goal") == "maximize" else "minimize",
    )


def _flattened(parameters: Mapping[str, Any], above: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each parameter with its rule; nested ones by dotted names."""
    for name, rule in parameters.items():
        path = f"{above}{name}"
        if isinstance(rule, dict) and isinstance(rule.get("parameters"), dict):
            yield from _flattened(rule["parameters"], f"{path}.")
        else:
            yield path, rule if isinstance(rule, dict) else {"value": rule}


def _grid(
    parameters: dict[str, dict[str, Any]], names: ParameterNames, draft: Draft
) -> dict[str, Any]:
    axes: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    for name, rule in list(parameters.items()):
        values = _values(rule)
        if "value" in rule:
            fixed[names.of(name)] = rule["value"]
        elif values is not None:
            axes[names.of(name)] = values
        else:
            draft.left_out.append(f"{name}: {rule}; a grid needs a list of values")
            del parameters[name]
    return {"grid": axes} | ({"fixed": fixed} if fixed else {})


def _values(rule: Mapping[str, Any]) -> Any:
    """The axis of a rule; None if it has no countable values."""
    if "values" in rule:
        return rule["values"]
    match rule:
        case {"min": int(low), "max": int(high)} if _distribution(rule) == "int_uniform":
            return {"range": [low, high + 1]}
        case {"distribution": "q_uniform", "min": low, "max": high}:
            first, step = Decimal(str(low)), Decimal(str(rule.get("q", 1)))
            count = int((Decimal(str(high)) - first) // step) + 1
            return {"linspace": [float(first), float(first + (count - 1) * step), count]}
    return None


def _random(
    parameters: dict[str, dict[str, Any]],
    names: ParameterNames,
    draft: Draft,
    method: Any,
    run_cap: Any,
) -> dict[str, Any]:
    if method != "random":
        draft.left_out.append(
            f"method: {method}; the same distributions are drawn at random, whatever the results"
        )
    if run_cap is None:
        draft.changed.append(
            f"n_trials is {N_TRIALS}; without run_cap W&B goes on until it is stopped"
        )
    space: dict[str, Any] = {}
    for name, rule in list(parameters.items()):
        drawn = _drawn(name, rule, draft)
        if drawn is None:
            draft.left_out.append(f"{name}: {rule}; there is no such distribution")
            del parameters[name]
        else:
            space[names.of(name)] = drawn
    return {"random": {"space": space, "n_trials": run_cap or N_TRIALS, "seed": 0}}


def _distribution(rule: Mapping[str, Any]) -> Any:
    """The distribution that a rule names, or implies."""
    if "distribution" in rule:
        return rule["distribution"]
    if "value" in rule:
        return "constant"
    if "values" in rule:
        return "categorical"
    whole = all(type(rule.get(key)) is int for key in ("min", "max"))
    return "int_uniform" if whole else "uniform"


def _drawn(name: str, rule: Mapping[str, Any], draft: Draft) -> Any:
    """The rule that draws a parameter; None for a distribution that does not exist here."""
    kind = str(_distribution(rule))
    plain = kind.removeprefix("q_")
    low, high = rule.get("min"), rule.get("max")
    match plain:
        case "constant":
            value = rule.get("value")
            is_scalar = value is None or isinstance(value, bool | int | float | str)
            return value if is_scalar else {"type": "Constant", "value": value}
        case "categorical" | "categorical_w_probabilities":
            options = {"options": rule.get("values")}
            if "probabilities" in rule:
                return {"type": "WeightedChoice", **options, "weights": rule["probabilities"]}
            return {"type": "Choice", **options}
        case "int_uniform":
            return {"type": "RandInt", "low": low, "high": high}
        case "uniform" if kind == "q_uniform":
            return {"type": "QUniform", "low": low, "high": high, "step": rule.get("q", 1)}
    drawn = _continuous(plain, rule)
    if drawn is not None and plain != kind:
        draft.left_out.append(f"{name}: {kind} rounds to multiples of {rule.get('q', 1)}")
    return drawn


def _continuous(kind: str, rule: Mapping[str, Any]) -> Any:
    low, high = rule.get("min"), rule.get("max")
    spread = {"mean": rule.get("mu", 0), "std": rule.get("sigma", 1)}
    match kind, low, high:
        case "normal", _, _:
            return {"type": "Normal", **spread}
        case "log_normal", _, _:
            return {"type": "LogNormal", **spread}
        case "uniform", _, _:
            return {"type": "Uniform", "low": low, "high": high}
        case "log_uniform_values" | "inv_log_uniform_values", _, _:
            return {"type": "LogUniform", "low": low, "high": high}
        # These have the bounds of the logarithm.
        case "log_uniform", int() | float(), int() | float():
            return {"type": "LogUniform", "low": math.exp(low), "high": math.exp(high)}
        case "inv_log_uniform", int() | float(), int() | float():
            return {"type": "LogUniform", "low": math.exp(-high), "high": math.exp(-low)}
    return None


def _fill_command(
    sweep: Mapping[str, Any],
    request: ImportRequest,
    parameters: Mapping[str, dict[str, Any]],
    names: ParameterNames,
    draft: Draft,
) -> None:
    written = sweep.get("command")
    elements = [str(one) for one in (written if isinstance(written, list) else _DEFAULT_COMMAND)]
    named = bool(sweep.get("program")) and not request.command
    program = [literal(str(sweep["program"]))] if named else []
    if not named and "${program}" in elements:
        program = program_of(request, draft, "the file")
    macros = {
        "${env}": [],
        "${interpreter}": ["python"] if named else [],
        "${program}": program,
        "${args_json}": ["{params_json}"],
        **{
            macro: [
                form.format(name=literal(name), parameter=names.of(name)) for name in parameters
            ]
            for macro, form in _ARGUMENTS.items()
        },
    }
    for element in elements:
        draft.command += macros.get(element, [literal(element)])
        if "${" in element and element not in macros:
            draft.changed.append(f"{element} is passed as it is written")
    if not {*elements} & {*_ARGUMENTS, "${args_json}"}:
        draft.command.append("{params_json}")
        draft.changed.append(
            "the command gets the parameters as one JSON text; they reached it by wandb.config"
        )
    if any(_has_booleans(rule) for rule in parameters.values()):
        draft.changed.append("the program gets true and false instead of True and False")


def _has_booleans(rule: Mapping[str, Any]) -> bool:
    values = rule.get("values", [rule.get("value")])
    return any(isinstance(value, bool) for value in (values if isinstance(values, list) else ()))
