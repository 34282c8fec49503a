"""Optuna for a cluster: `import hpcsweep.optuna as optuna` instead of `import optuna`.

`create_study` makes a study whose `optimize` runs the trials as array tasks of a sweep; samplers
are described instead of made, since each batch needs a new one. All other names are Optuna's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

# The module is imported by every task of a program that uses it, so it imports what it needs where
# that is used.


class _Samplers:
    """Optuna's samplers by name: each call returns the mapping that `hpcsweep.optimize` takes."""

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        if not name.endswith("Sampler"):
            raise AttributeError(name)
        return lambda **options: {"name": f"optuna.samplers:{name}", **options}


samplers = _Samplers()


def create_study(
    *,
    study_name: str | None = None,
    direction: str = "minimize",
    sampler: Mapping[str, Any] | None = None,
    **others: Any,
) -> Study:
    """Describe a study; nothing is run or written. *Raises* InputError for what it cannot do.

    `study_name` names its sweep; by default the objective does. There is no storage: the study is
    made of the sweep's results, and continues where a program of the same name was interrupted.
    """
    next_step = "`hpcsweep.to_optuna(sweep, storage)` writes a storage."
    _refuse(others, ("directions", "pruner", "storage"), "create_study", next_step)
    return Study(study_name, direction, dict(sampler or {"name": "tpe"}))


def _refuse(given: dict[str, Any], names: tuple[str, ...], where: str, next_step: str) -> None:
    """Take these keywords out. *Raises* InputError if one has a value."""
    from hpcsweep.errors import InputError  # noqa: PLC0415  # see above

    for name in names:
        if given.pop(name, None):
            raise InputError(
                f"a study on a cluster takes no {name}",
                where=where,
                next_step=f"Leave it out; {next_step}",
            )


class Study:
    """A study whose trials are the cases of a sweep; attributes are those of Optuna's study."""

    def __init__(self, name: str | None, direction: str, sampler: dict[str, Any]) -> None:
        """Describe a study; see `create_study`."""
        self._name = name
        self._direction = direction
        self._seed = int(sampler.pop("seed", None) or 0)
        self._sampler = sampler
        # The sweep of the last `optimize`, and the study that was made of it.
        self._study: Any = None

    def optimize(
        self, func: Callable[..., Any], n_trials: int, *, batch: int = 16, **keys: Any
    ) -> None:
        """Run trials until there are `n_trials` in all, in batches, and wait for their end.

        `func` takes a trial. It is called once here, to see what it suggests. The other `keys` are
        those of `hpcsweep.Sweep`; those of Optuna's `optimize` that say how its own process works
        are not needed. *Safe to repeat.* *Raises* the errors of `hpcsweep.errors`.
        """
        _refuse(keys, ("callbacks", "timeout"), "Study.optimize", "`batch` and `time` limit it.")
        for needless in ("catch", "gc_after_trial", "n_jobs", "show_progress_bar"):
            keys.pop(needless, None)
        from hpcsweep.optimizing import described, run_search, to_optuna  # noqa: PLC0415  # see above

        search = {"objective": "value", "n": n_trials, "batch": batch}
        search["direction"] = self._direction
        keys = {"target": func, "seed": self._seed, **keys}
        name = self._name or func.__name__
        sweep = described(name, self._space(func), search, self._sampler, **keys)
        run_search(sweep)
        self._study = to_optuna(sweep, import_module("optuna").storages.InMemoryStorage())

    def _space(self, func: Callable[..., Any]) -> dict[str, Any]:
        """The distributions that the objective suggests."""
        from hpcsweep.search.study import import_optuna, quiet  # noqa: PLC0415  # see above

        optuna = import_optuna("a study")
        with quiet(optuna):
            sampler = optuna.samplers.RandomSampler(seed=self._seed)
            trial = optuna.create_study(sampler=sampler).ask()
        func(trial)
        return dict(trial.distributions)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._study is None:
            raise AttributeError(f"{name!r}: call optimize first")
        return getattr(self._study, name)


def __getattr__(name: str) -> Any:
    return getattr(import_module("optuna"), name)
