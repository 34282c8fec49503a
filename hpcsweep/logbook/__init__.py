"""Run directories: `Logbook` writes one, readers open it, `run_directory` publishes a case's."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import InputError
from hpcsweep.logbook.json_values import (
    Metrics,
    json_document,
    json_value,
    metric_values,
    with_floats,
)
from hpcsweep.logbook.run_writer import RunWriter
from hpcsweep.logbook.storage import DirectoryStorage, NoStorage, RunStorage

if TYPE_CHECKING:
    from typing_extensions import Self

    from hpcsweep.logbook.checkpoint import Checkpoint
    from hpcsweep.logbook.parameters import Parameters
    from hpcsweep.logbook.standalone import StandaloneRun
    from hpcsweep.logbook.steps import MetricSteps

# The origins of a metric, in messages.
BY_JSON = 'log.json("metrics")'


class Logbook(RunWriter):
    """One run: its directory `log_<run id>`, its log, metadata, params, metrics and files.

    A standalone Logbook creates its directory below `base_dir` and records the outcome of the run
    in `metadata.json`. In a task, the target gets one over the attempt's directory: see `attached`.
    *Raises* RunExists when the run exists and `overwrite` is false; of several processes that
    create one run, one wins. `overwrite` removes the earlier run. `capture` redirects what is
    printed in the `with` block to `stdout.txt` and `stderr.txt`; a task always does this.

    Examples:
        >>> with hs.Logbook("alone", params={"omega": 1.0}) as log:
        ...     log.info("begins")
        ...     log.json("metrics", {"energy": 0.5})
        >>> hs.LogReader("outputs/log_alone").status
        'complete'
    """

    # Called with the Logbook at the end of a standalone run.
    callback: Callable[[Self], object] | None
    # The reason given by `mark_failed`; None without one.
    marked_failed: str | None
    # The checkpoint directory that all attempts share; None means beside the run.
    checkpoints: Path | str | None
    # Records the outcome of a standalone run; None in a task.
    _standalone: StandaloneRun | None
    # The params that the manifest fixed.
    _case_params: dict[str, Any] | None
    _steps: MetricSteps | None

    def __init__(
        self,
        run_id: object,
        base_dir: str | os.PathLike[str] = "outputs",
        params: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        preallocate: bool = False,
        callback: Callable[[Self], object] | None = None,
        capture: bool = False,
    ) -> None:
        # Imported here: a task needs nothing of a standalone run.
        from hpcsweep.logbook.capture import Capture  # noqa: PLC0415
        from hpcsweep.logbook.create import make_run  # noqa: PLC0415
        from hpcsweep.logbook.standalone import StandaloneRun  # noqa: PLC0415

        base = Path(base_dir).absolute()  # the program may change its directory
        path = make_run(base, str(run_id), params, overwrite=overwrite, preallocate=preallocate)
        self._settle(str(run_id), DirectoryStorage(path), path)
        self.callback = callback
        self._metrics.process = None  # forks share one file
        self._standalone = StandaloneRun(self, Capture(path) if capture else None)

    @classmethod
    def attached(
        cls,
        run_id: str,
        storage: Path | str | RunStorage | None,
        *,
        params: Mapping[str, Any] | None = None,
        checkpoints: Path | str | None = None,
    ) -> Self:
        """The Logbook of a case; the worker records the outcome of the run.

        Without a storage (`runs: none`) metrics are kept, messages go to standard output, and
        writing a file is refused.

        Examples:
            >>> log = hs.Logbook.attached("tried", None, params={"omega": 1.0})
            >>> log.metric("energy", 0.5)
            >>> log.params["omega"], log.metrics
            (1.0, {'energy': 0.5})
        """
        self = cls.__new__(cls)
        if isinstance(storage, (Path, str)):
            self._settle(run_id, DirectoryStorage(storage), None)
        else:
            self._settle(run_id, storage or NoStorage(), None)
        self._case_params = None if params is None else dict(params)
        self.checkpoints = checkpoints
        return self

    def _settle(self, run_id: str, storage: RunStorage, path: Path | None) -> None:
        self.run_id = run_id
        self.callback = None
        self.marked_failed = None
        self._storage = storage
        self._path = path
        self._metrics = Metrics()
        self._steps = None
        self._start_time = time.monotonic()
        self._standalone = None
        self._case_params = None
        self.checkpoints = None
        self._logger = None

    # --- metadata and params ---------------------------------------------------------------------

    def meta(self, **fields: Any) -> None:
        """Set fields of `metadata.json`.

        Examples:
            >>> log.meta(machine="west")
            >>> hs.LogReader(log.path).meta["machine"]
            'west'
        """
        lost: dict[str, str] = {}
        merged = self._storage.merge("metadata.json", json_value(fields, "metadata", lost))
        self._lost(lost)
        if self._standalone is not None:
            self._standalone.set_status(merged.get("status"))

    @property
    def params(self) -> Parameters:
        """The params: read `log.params["omega"]`, save more with `log.params(omega=1.0)`.

        Examples:
            >>> log.params(omega=1.0)
            >>> log.params["omega"]
            1.0
        """
        from hpcsweep.logbook.parameters import Parameters  # noqa: PLC0415  # rarely used

        return Parameters(self._storage, self._case_params, self._saved)

    @property
    def status(self) -> str:
        """The status in `metadata.json`: initialized, complete, failed, interrupted or unknown.

        Examples:
            >>> log.status
            'initialized'
        """
        if self._standalone is not None:
            return self._standalone.status()
        return "failed" if self.marked_failed is not None else "initialized"

    @property
    def elapsed(self) -> float:
        """Seconds since this Logbook was created.

        Examples:
            >>> log.elapsed > 0
            True
        """
        return time.monotonic() - self._start_time

    @property
    def checkpoint(self) -> Checkpoint:
        """The state that later attempts of the run can load; see `Checkpoint`.

        Examples:
            >>> log.checkpoint.load() is None
            True
        """
        from hpcsweep.logbook.checkpoint import Checkpoint, standalone_checkpoints  # noqa: PLC0415

        return Checkpoint(Path(self.checkpoints or standalone_checkpoints(self.path, self.run_id)))

    # --- metrics ---------------------------------------------------------------------------------

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics so far: values by name.

        Examples:
            >>> log.metric("steps", 3)
            >>> log.metrics["steps"]
            3
        """
        values: dict[str, Any] = with_floats(self._metrics.values)
        return values

    def metric(self, name: str, value: Any, step: float | None = None) -> None:
        """Report one metric. *Raises* InputError if `name` already has another value.

        With a step it becomes a row of the table `artifacts/metrics_steps.csv` instead, and is not
        a metric of the run: a run has one value of each metric.

        Examples:
            >>> log.metric("energy", 0.5)
            >>> log.metrics["energy"]
            0.5
        """
        if not isinstance(name, str):
            raise InputError(f"a metric's name is text, not a {type(name).__name__}")
        if step is None:
            self.merge_metrics({name: value}, "log.metric")
            if self._standalone is not None:  # threads and forks report into one file
                plain = metric_values({name: value}, "log.metric")
                self._storage.merge("artifacts/metrics.json", plain)
            return
        if self._steps is None:
            from hpcsweep.logbook.steps import MetricSteps  # noqa: PLC0415  # rarely used

            self._steps = MetricSteps()
        self._steps.add(self, name, step, value)

    def json(self, name: str, data: Any) -> None:
        """Write `artifacts/<name>.json`; with the name `metrics` they become the run's metrics.

        NaN and infinities become null, with a warning in the log; of metrics they are kept as
        `{"$float": "nan"}`.

        Examples:
            >>> log.json("final", {"E": 0.5})
            >>> hs.LogReader(log.path).load_json("final")
            {'E': 0.5}
        """
        lost: dict[str, str] = {}
        if name == "metrics":
            value = metric_values(data, name)
            if not isinstance(value, dict):
                raise InputError("log.json('metrics', …) takes a dict of metrics by name")
            self._metrics.forget(BY_JSON)
            self._metrics.merge(value, BY_JSON)
            value = self.metrics_json  # includes those of `metric`
            if isinstance(self._storage, NoStorage):
                return
        else:
            value = json_value(data, name, lost)
        self._storage.write(f"artifacts/{name}.json", json_document(value))
        self._saved("JSON", name, f"artifacts/{name}.json", lost)

    def merge_metrics(self, metrics: Mapping[str, Any], origin: str) -> None:
        """Add metrics from another origin. *Raises* InputError if a value differs.

        Examples:
            >>> log.merge_metrics({"residual": 0.1}, "the solver")
            >>> log.metrics["residual"]
            0.1
        """
        self._metrics.merge(metrics, origin)

    # --- the end ---------------------------------------------------------------------------------

    def mark_complete(self) -> None:
        """Record that the run is complete. In a task it only withdraws an earlier `mark_failed`.

        Examples:
            >>> done = hs.Logbook("done")
            >>> done.mark_complete()
            >>> done.status
            'complete'
        """
        self.marked_failed = None
        if self._standalone is not None:
            self._standalone.end("complete", "Marked complete")

    def mark_failed(self, reason: object) -> None:
        """Record that the run failed, and why. In a task, the case then counts as failed.

        Examples:
            >>> failed = hs.Logbook("grew")
            >>> failed.mark_failed("the energy grows")
            >>> failed.status
            'failed'
        """
        self.marked_failed = str(reason)
        if self._standalone is not None:
            self._standalone.end(
                "failed", f"Marked failed: {reason}", str(reason), sys.exc_info()[1]
            )

    def __enter__(self) -> Self:
        if self._standalone is not None:
            self._standalone.enter()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._standalone is not None:
            self._standalone.exit(error)

    # --- for the rest of the package -------------------------------------------------------------

    @property
    def metrics_json(self) -> dict[str, Any]:
        """The metrics so far as journals hold them; see `metric_values`.

        Examples:
            >>> log.metric("ratio", float("nan"))
            >>> log.metrics_json["ratio"]
            {'$float': 'nan'}
        """
        return self._metrics.values
