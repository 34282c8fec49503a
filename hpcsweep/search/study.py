"""A study of Optuna, made of the cases of a sweep and their values; and what it asks next."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep.errors import HpcsweepError, TargetError
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import SAMPLERS, WITH_STATE, Search
from hpcsweep.search.distributions import constants, optuna_distributions
from hpcsweep.search.halving import Configuration, configurations, promotions
from hpcsweep.tables.extras import import_extra
from hpcsweep.target import import_object
from hpcsweep.user_import import import_user_code

_NEXT = (
    "Nothing is lost: `hpcsweep advance` asks again, and `hpcsweep submit` with another sampler."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ToldTrial:
    """A trial whose cases are over."""

    params: Mapping[str, Any]
    # None for one that failed.
    value: float | None


def ask(
    search: Search, manifest: FrozenManifest, told: Sequence[ToldTrial], count: int
) -> list[dict[str, Any]]:
    """The params of the next `count` trials. The same for the same arguments.

    With `halving` those that are promoted come first. *Raises* ExtraMissing; TargetError, whatever
    the sampler raises.
    """
    optuna = import_optuna("a search")
    found = studied(search, [trial.params for trial in told], [trial.value for trial in told])
    promoted: list[dict[str, Any]] = []
    if search.halving is not None:
        promoted = promotions(search.halving, search.direction, found)[:count]
    distributions = optuna_distributions(optuna, search.space)
    fixed = constants(search.space)
    sampler = _sampler(optuna, search, manifest, len(told))
    with quiet(optuna), _sampler_errors(search):
        study = optuna.create_study(direction=search.direction, sampler=sampler)
        study.add_trials([optuna_trial(optuna, search, distributions, one) for one in found])
        asked = [study.ask(distributions).params for _ in range(count - len(promoted))]
    return [*promoted, *(fixed | params for params in asked)]


def import_optuna(what: str) -> Any:
    """Optuna. *Raises* ExtraMissing."""
    return import_extra("optuna", "optuna", what)


def studied(
    search: Search, cases: Sequence[Mapping[str, Any]], values: Sequence[float | None]
) -> list[Configuration]:
    """What of these trials is one of a study of Optuna each."""
    if search.halving is not None:
        return configurations(search.halving, cases, values)
    return [
        Configuration(params={0: params}, positions={0: position}, values={0: value})
        for position, (params, value) in enumerate(zip(cases, values, strict=True))
    ]


def optuna_trial(
    optuna: Any,
    search: Search,
    distributions: Mapping[str, Any],
    found: Configuration,
    **more: Any,
) -> Any:
    """A configuration as a trial of Optuna; one whose last trial has no value failed.

    One with less than the largest budget is pruned, with a report at each: a sampler like TPE
    compares it by its last one.
    """
    states, value = optuna.trial.TrialState, found.values[found.last]
    halving = search.halving
    if value is None:
        state = states.FAIL
    elif halving is None or found.last >= halving.largest:
        state = states.COMPLETE
    else:
        state = states.PRUNED
    params = found.params[found.last]
    return optuna.trial.create_trial(
        state=state,
        value=value,
        params={name: params[name] for name in distributions},
        distributions=distributions,
        intermediate_values=found.reports if halving is not None else {},
        **more,
    )


def _sampler(optuna: Any, search: Search, manifest: FrozenManifest, trials: int) -> Any:
    """The sampler of a batch. *Raises* TargetError."""
    options = {**search.options, "seed": batch_seed(manifest.seed, trials)}
    if search.target is None:
        make = getattr(optuna.samplers, SAMPLERS[search.sampler])
    else:
        named, root = search.target, Path(manifest.root)
        make = import_user_code(lambda: import_object(named, root), "the sampler", named, manifest)
    with quiet(optuna), _sampler_errors(search):
        sampler = make(**options)
    if not isinstance(sampler, optuna.samplers.BaseSampler):
        raise TargetError(
            f"returned a {type(sampler).__name__}, not a sampler of Optuna",
            where=_place(search),
            next_step="Return, for example, optuna.samplers.TPESampler(seed=seed).",
        )
    if type(sampler).__name__ in WITH_STATE.values():
        raise TargetError(
            f"{type(sampler).__name__} keeps a state that the results of the cases do not have",
            where=_place(search),
            next_step=f"Use one of {', '.join(SAMPLERS.values())}.",
        )
    return sampler


def batch_seed(seed: int, trials: int) -> int:
    """The seed of the sampler behind so many trials, 32 bits.

    With the same one a sampler would draw the same numbers for each batch.
    """
    text = f"hpcsweep search 1\n{seed:x}\n{trials}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def _place(search: Search) -> str:
    return f"search.sampler, {search.target.text if search.target else search.sampler}"


@contextlib.contextmanager
def _sampler_errors(search: Search) -> Iterator[None]:
    """*Raises* TargetError for whatever a sampler raises in the block."""
    try:
        yield
    except HpcsweepError:
        raise
    except Exception as error:  # a sampler may be the user's, or need a package
        raise TargetError(
            f"the sampler raised {type(error).__name__}: {error}",
            where=_place(search),
            next_step=_NEXT,
        ) from error


@contextlib.contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Without Optuna's lines about a study in memory, and its warnings of experimental features."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
