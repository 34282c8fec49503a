"""`Logbook`: what a program writes while it runs, standalone or as a case of a sweep."""

from __future__ import annotations

import builtins
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import InputError
from hpcsweep.logbook.json_values import (
    ESCAPED,
    Metrics,
    json_document,
    json_value,
    log_line,
    metric_values,
    null_warnings,
    with_floats,
)
from hpcsweep.logbook.storage import DirectoryStorage, NoStorage, RunStorage

if TYPE_CHECKING:
    import logging

    from typing_extensions import Self

    from hpcsweep.logbook.checkpoint import Checkpoint
    from hpcsweep.logbook.parameters import Parameters
    from hpcsweep.logbook.programs import Completed
    from hpcsweep.logbook.standalone import StandaloneRun
    from hpcsweep.logbook.steps import MetricSteps

INFO = 20
# The origins of a metric, in messages.
BY_JSON = 'log.json("metrics")'


class Logbook:
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
    _logger: logging.Logger | None
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

    # --- paths -----------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The run directory. *Raises* InputError if the run has none."""
        if self._path is None:
            self._path = self._storage.path(".keep").parent
        return self._path

    @property
    def log_path(self) -> Path:
        """The log, `log.txt`."""
        return self.path / "log.txt"

    @property
    def datadir(self) -> Path:
        """The directory of arrays."""
        return self.path / "data"

    @property
    def plotdir(self) -> Path:
        """The directory of figures."""
        return self.path / "plots"

    @property
    def artifactsdir(self) -> Path:
        """The directory of all other files."""
        return self.path / "artifacts"

    def __getitem__(self, relative: str) -> Path:
        """A path inside the run directory; creates its parents. *Raises* SweepError outside it."""
        return self._storage.path(relative)

    # --- the log ---------------------------------------------------------------------------------

    def info(self, msg: object) -> None:
        """Add a line to `log.txt`."""
        self.note(msg, "INFO")

    def debug(self, msg: object) -> None:
        """Add a line to `log.txt`."""
        self.note(msg, "DEBUG")

    def warning(self, msg: object) -> None:
        """Add a line to `log.txt`."""
        self.note(msg, "WARNING")

    def error(self, msg: object) -> None:
        """Add a line to `log.txt`."""
        self.note(msg, "ERROR")

    def note(self, message: object, level: int | str = INFO) -> None:
        """Add a line `[time] LEVEL message` to `log.txt`, UTC; continuation lines are indented.

        Examples:
            >>> log.note("begins", "WARNING")
            >>> "WARNING begins" in log.log_path.read_text()
            True
        """
        self.notes([message], level)

    @property
    def logger(self) -> logging.Logger:
        """A standard-library logger whose messages go to `log.txt`."""
        if self._logger is None:
            from hpcsweep.logbook.libraries import logger  # noqa: PLC0415  # rarely used

            self._logger = logger(self)
        return self._logger

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
        """The params: read `log.params["omega"]`, save more with `log.params(omega=1.0)`."""
        from hpcsweep.logbook.parameters import Parameters  # noqa: PLC0415  # rarely used

        return Parameters(self._storage, self._case_params, self._saved)

    @property
    def status(self) -> str:
        """The status in `metadata.json`: initialized, complete, failed, interrupted or unknown."""
        if self._standalone is not None:
            return self._standalone.status()
        return "failed" if self.marked_failed is not None else "initialized"

    @property
    def elapsed(self) -> float:
        """Seconds since this Logbook was created."""
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

    # --- files -----------------------------------------------------------------------------------

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

    def text(self, name: str, content: str) -> None:
        """Write `artifacts/<name>.txt`.

        Examples:
            >>> log.text("notes", "cold start")
            >>> log["artifacts/notes.txt"].read_text()
            'cold start'
        """
        self._storage.write(f"artifacts/{name}.txt", str(content).encode(errors=ESCAPED))
        self._saved("text", name, f"artifacts/{name}.txt")

    def bytes(self, name: str, data: builtins.bytes) -> None:
        """Write `artifacts/<name>` as given.

        Examples:
            >>> log.bytes("raw.bin", b"01")
            >>> log["artifacts/raw.bin"].read_bytes()
            b'01'
        """
        if not isinstance(data, (builtins.bytes, bytearray, memoryview)):
            raise InputError(f"a {type(data).__name__} is not bytes", where=name)
        self._storage.write(f"artifacts/{name}", data)
        self._saved("bytes", name, f"artifacts/{name}")

    def pickle(self, name: str, obj: Any, protocol: int = -1) -> None:
        """Write `artifacts/<name>.pkl`. hpcsweep's readers never load a pickle."""
        import pickle  # noqa: PLC0415  # rarely used; only writes

        self._storage.write(f"artifacts/{name}.pkl", pickle.dumps(obj, protocol))
        self._saved("pickle", name, f"artifacts/{name}.pkl")

    def array(self, name: str, array: Any) -> None:
        """Write `data/<name>.npy`. *Raises* InputError for an array of Python objects.

        Examples:
            >>> log.array("x", [0, 1])
            >>> hs.LogReader(log.path).load_array("x").tolist()
            [0, 1]
        """
        from hpcsweep.logbook.libraries import save_array  # noqa: PLC0415  # needs numpy

        with self._storage.writing(f"data/{name}.npy") as stream:
            save_array(stream, array)
        self._saved("array", name, f"data/{name}.npy")

    def arrays(self, name: str, /, compressed: Any = True, **arrays: Any) -> None:
        """Write `data/<name>.npz`, one member per keyword.

        `compressed` is an array like all others when it is not True or False.

        Examples:
            >>> log.arrays("wave", y=[2, 3])
            >>> hs.LogReader(log.path).load_array("wave:y").tolist()
            [2, 3]
        """
        from hpcsweep.logbook.libraries import save_arrays  # noqa: PLC0415  # needs numpy

        if not isinstance(compressed, bool):
            arrays, compressed = {"compressed": compressed, **arrays}, True
        with self._storage.writing(f"data/{name}.npz") as stream:
            save_arrays(stream, arrays, compressed=compressed)
        self._saved("arrays", name, f"data/{name}.npz")

    def plot(
        self, name: str, fig: Any = None, dpi: float = 200, formats: Sequence[str] = ("png",)
    ) -> None:
        """Write `plots/<name>.<format>`: `fig`, or matplotlib's current figure."""
        from hpcsweep.logbook.libraries import save_figure  # noqa: PLC0415  # needs matplotlib

        save_figure(self._storage.writing, f"plots/{name}", fig, dpi, formats)
        self.note(f"Saved plot {name} ({'/'.join(formats)}) in plots")

    def figure(
        self, name: str, fig: Any = None, dpi: float = 200, formats: Sequence[str] = ("png",)
    ) -> None:
        """Like `plot`, then close the figure: a sweep that keeps its figures runs out of memory."""
        from hpcsweep.logbook.libraries import close_figure  # noqa: PLC0415  # needs matplotlib

        self.plot(name, fig, dpi, formats)
        close_figure(fig)

    def dataframe(self, name: str, frame: Any) -> None:
        """Write a pandas frame: `data/<name>.parquet` if pyarrow is installed, else a `.csv`."""
        from hpcsweep.logbook.libraries import save_frame  # noqa: PLC0415  # needs pandas

        self._saved("dataframe", name, save_frame(self._storage.writing, f"data/{name}", frame))

    def subprocess(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        name: str | None = None,
        check: bool = True,
        **options: Any,
    ) -> Completed:
        """Run a program; its output goes to `artifacts/<name>.stdout.txt` and `….stderr.txt`.

        `name` defaults to the program's own name; `options` are those of `subprocess.run`.
        *Raises* InputError if it cannot be started, or if it fails and `check` is true.

        Examples:
            >>> log.subprocess(["echo", "ready"]).returncode
            0
        """
        from hpcsweep.logbook.programs import run_program  # noqa: PLC0415  # rarely used

        return run_program(self, argv, name, check=check, options=options)

    # --- metrics ---------------------------------------------------------------------------------

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics so far: values by name."""
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

    def merge_metrics(self, metrics: Mapping[str, Any], origin: str) -> None:
        """Add metrics from another origin. *Raises* InputError if a value differs."""
        self._metrics.merge(metrics, origin)

    # --- the end ---------------------------------------------------------------------------------

    def mark_complete(self) -> None:
        """Record that the run is complete. In a task it only withdraws an earlier `mark_failed`."""
        self.marked_failed = None
        if self._standalone is not None:
            self._standalone.end("complete", "Marked complete")

    def mark_failed(self, reason: object) -> None:
        """Record that the run failed, and why. In a task, the case then counts as failed."""
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
        """The metrics so far as journals hold them; see `metric_values`."""
        return self._metrics.values

    @property
    def storage(self) -> RunStorage:
        """The storage of the run's files."""
        return self._storage

    def notes(
        self, messages: Sequence[object], level: int | str = INFO, *, is_handled: bool = False
    ) -> None:
        """Add several lines to `log.txt`, and send them to the handlers that the program added."""
        lines = "".join(log_line(message, level) for message in messages)
        if isinstance(self._storage, NoStorage):
            sys.stdout.write(lines)
        else:
            self._storage.append("log.txt", lines.encode(errors=ESCAPED))
        if self._logger is not None and not is_handled:
            from hpcsweep.logbook.libraries import emit_to_handlers  # noqa: PLC0415  # rarely used

            emit_to_handlers(self._logger, messages, level)

    def _saved(self, what: str, name: str, where: str, lost: Any = None) -> None:
        """Log what was saved, and which numbers became null."""
        self.note(" ".join(filter(None, ["Saved", what, name, "in", where])))
        self._lost(lost or {})

    def _lost(self, lost: Mapping[str, str]) -> None:
        """Log which numbers became null."""
        for note in null_warnings(lost):
            self.note(note, "WARNING")
