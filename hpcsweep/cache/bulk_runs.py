"""Many cases at once: expand the params, run the missing cases, collect the failures."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any, TypeVar

from hpcsweep import ids
from hpcsweep.cache.files.producer import ResultProducer
from hpcsweep.cache.files.result_directory import Entry, ResultKey
from hpcsweep.errors import CasesFailed, Incomplete, InputError, TargetError
from hpcsweep.manifest.from_python import target_text
from hpcsweep.manifest.generated_files import GeneratedFiles, write_generated
from hpcsweep.quantities import counted
from hpcsweep.sources import ParameterSource, manual
from hpcsweep.sweepdir.locate import argument_for

T = TypeVar("T")
# Failures that the message quotes.
SHOWN = 5

# A source, a grid or a list of params. A grid's values are Any: mypy infers `dict[str, object]`
# for one whose lists have different types.
Sweepable = ParameterSource | Mapping[str, Any] | Iterable[Mapping[str, Any]]


def expand_grid(grid: Mapping[str, Iterable[Any]]) -> Iterator[dict[str, Any]]:
    """All combinations of a grid's values; keys in their order, the last one fastest.

    Examples:
        >>> from hpcsweep import expand_grid
        >>> list(expand_grid({"n": [1, 2], "dt": [0.5]}))
        [{'n': 1, 'dt': 0.5}, {'n': 2, 'dt': 0.5}]
    """
    axes = {name: _axis(name, values) for name, values in grid.items()}
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def expand_params(
    params: Sweepable,
) -> Iterator[Mapping[str, Any]]:
    """The params of a sweep, in order. *Raises* InputError."""
    if isinstance(params, ParameterSource):
        if params.replicates > 1:
            raise InputError(
                "the source has replicates, and a cache has one record for the same params",
                next_step="Make the replicate a parameter, e.g. grid(seed=range(3), …).",
            )
        return (case.params for case in params)
    if isinstance(params, Mapping):
        return expand_grid(params)
    if isinstance(params, (str, bytes)) or not isinstance(params, Iterable):
        raise InputError(
            f"a sweep is not over a {type(params).__name__}",
            next_step="Give a dict of lists, a parameter source, or a list of dicts.",
        )
    return iter(params)


def run_cases(
    produce: ResultProducer,
    cases: Sequence[ResultKey],
    custom_data: dict[str, Any],
    executor: Executor | None,
    failures: dict[str, BaseException],
) -> Iterator[Entry]:
    """The entries of cases, as they complete; `failures` collects the other cases' exceptions."""
    if executor is None:
        return _run_serially(produce, cases, custom_data, failures)
    return _run_on_executor(produce, cases, custom_data, executor, failures)


def _run_serially(
    produce: ResultProducer,
    cases: Sequence[ResultKey],
    custom_data: dict[str, Any],
    failures: dict[str, BaseException],
) -> Iterator[Entry]:
    # Leave what another process is making for the end: two sweeps share the work.
    later: list[ResultKey] = []
    for attempt, waiting in ((produce.try_produce, cases), (produce, later)):
        for case in waiting:
            try:
                entry = attempt(case, custom_data)
            except Exception as error:  # noqa: BLE001  # of the user's runner; raised at the end
                failures[case.id] = error
                continue
            if entry is None:
                later.append(case)
            else:
                yield entry


def _run_on_executor(
    produce: ResultProducer,
    cases: Sequence[ResultKey],
    custom_data: dict[str, Any],
    executor: Executor,
    failures: dict[str, BaseException],
) -> Iterator[Entry]:
    futures = {executor.submit(produce, case, custom_data): case for case in cases}
    try:
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                yield future.result()
            else:
                failures[futures[future].id] = error
    finally:
        for future in futures:
            future.cancel()


def run_cases_on_cluster(
    cluster: str,
    produce: ResultProducer,
    cases: Sequence[ResultKey],
    custom_data: dict[str, Any],
    failures: dict[str, BaseException],
) -> Iterator[Entry]:
    """Like `run_cases`, by a sweep on a cluster; each of its cases makes one result.

    *Raises* whatever `submit` raises. The same cases make the same sweep, also after a failure.
    """
    if not cases:
        return
    # Imported here: it loads everything that a submission needs.
    from hpcsweep.sweep import Sweep  # noqa: PLC0415

    root, results = Path.cwd(), produce.results
    generated: GeneratedFiles = {}
    runner = target_text(produce.runner, root, "cache", generated)
    write_generated(root, generated)
    sweep = Sweep(
        f"cache-{ids.fingerprint([runner, str(results.path), *sorted(case.id for case in cases)])}",
        manual([case.params for case in cases]),
        target=runner,
        results_dir=str(results.path),
        file_suffix=results.suffix,
        use_cache=True,
        custom_data=custom_data,
        cluster=cluster,
        root=root,
        runs="failed",
    )
    # Rerun all: a case that the sweep completed before has lost its result since.
    sweep.submit(rerun="all")
    with contextlib.suppress(Incomplete):
        sweep.wait()
    for at, case in enumerate(cases):
        entry = produce.existing(case)
        if entry is not None:
            yield entry
        else:
            argument = argument_for(sweep.name, str(sweep.path))
            failures[case.id] = TargetError(
                f"the case {case.id} made no result on the {cluster} cluster",
                where=str(sweep.path),
                next_step=f"`hpcsweep logs {argument} {at}` says why.",
            )


def cases_failed_error(
    cases: Sequence[ResultKey],
    records: Mapping[str, object],
    failures: Mapping[str, BaseException],
    where: str,
) -> CasesFailed:
    """The error of a sweep, with its cases' errors as the cause."""
    some = [f"{type(e).__name__}: {e}"[:200] for e in list(failures.values())[:SHOWN]]
    of_cases = counted(len({case.id for case in cases}), "case")
    problem = CasesFailed(
        f"{len(failures)} of {of_cases} failed: {'; '.join(some)}"
        f"{' …' if len(failures) > SHOWN else ''}",
        where=where,
        next_step="The others are kept: `records` of this error has them, `failures` the rest.",
        records=tuple(records.get(case.id) for case in cases),
        failures={at: failures[case.id] for at, case in enumerate(cases) if case.id in failures},
    )
    # No task imports this module: it may use what Python 3.10 does not have.
    problem.__cause__ = BaseExceptionGroup("the failed cases", list(failures.values()))
    return problem


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items each."""
    rest = iter(items)
    while some := list(itertools.islice(rest, size)):
        yield some


def _axis(name: str, values: Iterable[Any]) -> list[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InputError(
            f"{name} is {values!r:.60}, not a list of values",
            where="grid",
            next_step=f"Write [{values!r:.40}].",
        )
    return list(values)
