"""`Experiment`: runs of one name, one per set of params, with an index of all of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import isclose
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import ExtraMissing, InputError, RunExists, SweepError
from hpcsweep.files import make_directory, token, unwritable
from hpcsweep.liveness import ENDS, run_status, this_process
from hpcsweep.logbook import Logbook
from hpcsweep.logbook.create import run_path
from hpcsweep.logbook.experiment.index import (
    Index,
    RunMark,
    RunRow,
    column_value,
    columns,
    parse_metrics,
)
from hpcsweep.logbook.json_values import json_value
from hpcsweep.logbook.parameters import PARAMS, read_params
from hpcsweep.logbook.run_directory import METRICS, read_metadata, retire_checkpoints
from hpcsweep.logbook.storage import DirectoryStorage, checked_name

if TYPE_CHECKING:
    import pandas as pd

# A readable id of more bytes is cut, and the hash is appended.
READABLE_MAX = 180
# Relative tolerance of `select` for floats.
ROUNDING = 1e-12
# Statuses of a run that is not started again.
_IN_PLACE = ("complete", "running")
# Attempts to replace a failed run while other processes do the same.
TAKES_MAX = 100


class Experiment:
    """`<base_dir>/<name>/` with `runs/log_<run id>/` and `index.csv`.

    Examples:
        >>> tried = hs.Experiment("tried")
        >>> with tried.add(omega=1.0) as log:
        ...     log.json("metrics", {"energy": 0.5})
        >>> [run.params for run in hs.ExperimentReader("outputs/tried")]
        [{'omega': 1.0}]
    """

    # What a run gets.
    logbook_class: type[Logbook] = Logbook

    def __init__(
        self, name: str, base_dir: str | os.PathLike[str] = "outputs", *, capture: bool = False
    ) -> None:
        self.name: str = str(name)
        # Whether runs capture their output.
        self.capture = capture
        # Absolute: the program may change its directory.
        self.base_dir: Path = Path(base_dir).absolute()
        self.exp_dir: Path = self.base_dir / checked_name(self.name)
        self.runs_dir: Path = make_directory(self.exp_dir / "runs")
        self._index = Index(self.exp_dir)

    @property
    def index_file(self) -> Path:
        """The path of the index. It is derived, so it can be deleted.

        Examples:
            >>> hs.Experiment("tried").index_file.name
            'index.csv'
        """
        return self._index.file

    # --- adding runs -----------------------------------------------------------------------------

    def add(self, /, skip_existing: bool = False, **params: Any) -> Logbook | None:
        """Begin the run of these params; None if it exists and `skip_existing` is true.

        A run that failed or was killed starts again; its old directory moves to `runs/.attempts`.
        *Raises* RunExists if the run is complete or in progress.

        Examples:
            >>> log = hs.Experiment("added").add(omega=2.0)
            >>> log.mark_complete()
            >>> hs.Experiment("added").add(omega=2.0, skip_existing=True) is None
            True
        """
        return self.add_params(params, skip_existing=skip_existing)

    def add_params(
        self, params: Mapping[str, Any], *, skip_existing: bool = False
    ) -> Logbook | None:
        """Like `add`, for params with any names.

        Examples:
            >>> log = hs.Experiment("named").add_params({"step size": 0.1})
            >>> log.params["step size"]
            0.1
        """
        lost: dict[str, str] = {}
        plain = json_value(params, "params", lost)
        for where, value in lost.items():
            raise InputError(f"{value} names no run", where=where, next_step="Use None.")
        text = ids.canonical(plain)
        readable = self._readable(plain)
        short = readable.encode()[:READABLE_MAX].decode(errors="ignore")
        hashed = f"{short}-{ids.case_id_of(text)}"
        for run_id in [readable, hashed] if len(readable.encode()) <= READABLE_MAX else [hashed]:
            path = run_path(self.runs_dir, run_id)
            for _ in range(TAKES_MAX):
                try:
                    return self._begin(run_id, plain)
                except RunExists as error:
                    recorded = self._params_of(path)
                    if recorded is not None and _canonical(recorded) != text:
                        break  # the readable id belongs to other params
                    status = run_status(read_metadata(path), path)
                    if status == "complete":  # a kill may have prevented the run's own retirement
                        retire_checkpoints(self._checkpoints(run_id))
                    if status in _IN_PLACE:
                        if skip_existing:
                            return None
                        raise _exists(path) from error
                    self._set_aside(path)
        raise SweepError(
            "two sets of params have the same hash, or other processes keep creating this run",
            where=str(path),
        )

    def _begin(self, run_id: str, params: dict[str, Any]) -> Logbook:
        log = self.logbook_class(
            run_id,
            self.runs_dir,
            params,
            preallocate=True,
            callback=self.record,
            capture=self.capture,
        )
        log.checkpoints = self._checkpoints(run_id)
        self._index.mark(
            {
                "run_id": run_id,
                "dir": self._relative(log.path),
                "params": params,
                "status": "initialized",
                "process": this_process(),
            }
        )
        return log

    def _checkpoints(self, run_id: str) -> Path:
        return self.exp_dir / "checkpoints" / run_id

    def _readable(self, params: Mapping[str, Any]) -> str:
        pieces = [self.name, *(f"{name}_{_short_text(params[name])}" for name in sorted(params))]
        return "".join(
            sign if sign.isprintable() and sign != "/" else "_" for sign in "_".join(pieces)
        )

    def _params_of(self, path: Path) -> dict[str, Any] | None:
        """The params of a run; None if it has none, or another process removed it."""
        folder = DirectoryStorage(path)
        texts = {name: folder.read(name) for name in PARAMS}
        if not any(text is not None for text in texts.values()):
            return None
        try:
            return read_params(texts.get)
        except InputError:  # written by another program
            return {}

    def _set_aside(self, path: Path) -> None:
        """Move a finished run aside, unless it was started again meanwhile."""
        attempts = make_directory(self.runs_dir / ".attempts")
        with self._index.exclusive():
            # Read the status under the lock: no other process moves the run until it is released.
            if not path.exists() or run_status(read_metadata(path), path) in _IN_PLACE:
                return
            try:
                path.rename(attempts / f"{path.name}.{token()}")
            except OSError as error:
                raise unwritable(path, error) from error

    # --- the index -------------------------------------------------------------------------------

    def record(self, log: Logbook, metrics_file: str = METRICS) -> None:
        """Append the current state of a run to the index; the end of a run does this by itself.

        Examples:
            >>> runs = hs.Experiment("noted")
            >>> log = runs.add(omega=2.0)
            >>> log.metric("energy", 2.0)
            >>> runs.record(log)
            >>> runs.to_dataframe()["energy"].tolist()
            [2.0]
        """
        mark = self._mark(log.path, metrics_file)
        self._index.mark(mark)
        if mark["status"] == "interrupted":  # a signal ends the process before its exit handlers
            self._index.refresh(wait=False)
        else:
            self._index.refresh_if_due()

    def refresh(self) -> Path:
        """Rebuild `index.csv` from all marks; returns its path.

        Examples:
            >>> hs.Experiment("fresh").refresh().name
            'index.csv'
        """
        self._index.refresh()
        return self.index_file

    def _mark(self, path: Path, metrics_file: str) -> RunMark:
        metadata = read_metadata(path) or {}
        text = DirectoryStorage(path).read(metrics_file)
        metrics, metrics_status, problem = parse_metrics(text, metrics_file)
        status = str(metadata.get("status", "unknown"))
        if status not in ENDS and metrics_status != "complete":
            status = metrics_status
        return {
            "run_id": path.relative_to(self.runs_dir).as_posix().removeprefix("log_"),
            "dir": self._relative(path),
            "params": dict(read_params(DirectoryStorage(path).read)),
            "status": status,
            "metrics": metrics,
            "metrics_status": metrics_status,
            "failure_reason": metadata.get("failure_reason"),
            "error_reason": problem,
        }

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.exp_dir).as_posix()

    # --- reading ---------------------------------------------------------------------------------

    def to_dataframe(self) -> pd.DataFrame:
        """One row per run; params and metrics keep their types. Needs pandas.

        Examples:
            >>> runs = hs.Experiment("rows")
            >>> log = runs.add(omega=2.0)
            >>> runs.to_dataframe()["omega"].tolist()
            [2.0]
        """
        frame: pd.DataFrame = to_frame(self._index.read())
        return frame

    def select(self, /, **filters: Any) -> pd.DataFrame:
        """The rows whose columns have these values; None matches a missing value.

        Floats match within a tolerance: 0.3 finds 0.1 + 0.2.
        *Raises* KeyError for an unknown column.

        Examples:
            >>> runs = hs.Experiment("selected")
            >>> logs = [runs.add(omega=omega) for omega in (1.0, 2.0)]
            >>> len(runs.select(omega=2.0))
            1
        """
        frame = self.to_dataframe()
        for name, value in filters.items():
            if name not in frame.columns:
                raise KeyError(name)
            matching = _matches(frame[name], json_value(value, name))
            frame = frame[matching.fillna(False).astype(bool)]
        return frame

    def __repr__(self) -> str:
        return f"Experiment({self.name!r}, {str(self.base_dir)!r})"


def _short_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value + 0.0:.5g}"  # -0.0 is 0
    return str(value).replace("/", "_").replace(" ", "_")


def _canonical(params: Mapping[str, Any]) -> str | None:
    try:
        return ids.canonical(params)
    except InputError:  # written by another program
        return None


def _exists(path: Path) -> RunExists:
    return RunExists(
        "the run of these params exists already, complete or in progress",
        where=str(path),
        next_step="add(skip_existing=True, …) gives None for it.",
    )


def to_frame(rows: list[RunRow]) -> Any:
    """Rows of an index as a frame. *Raises* ExtraMissing without pandas."""
    pandas = _pandas()
    data = {
        title: _column([column_value(row, part, name) for row in rows], pandas)
        for title, part, name in columns(rows)
    }
    return pandas.DataFrame(data if rows else {})


def _pandas() -> Any:
    try:
        import pandas as pd  # noqa: PLC0415  # rarely used
    except ImportError as error:
        raise ExtraMissing(
            "pandas is not installed", next_step="Install it: pip install 'hpcsweep[pandas]'"
        ) from error
    return pd


def _matches(column: Any, value: Any) -> Any:
    if value is None:
        return column.isna()
    if isinstance(value, float):
        return column.map(
            lambda item: isinstance(item, Real) and isclose(item, value, rel_tol=ROUNDING)
        )
    if isinstance(value, (list, dict)):
        return column.map(lambda item: item == value)
    return column == value


def _column(values: list[Any], pandas: Any) -> Any:
    """A column of its values' own type; a missing value does not turn ints into floats."""
    kinds = {type(value) for value in values if value is not None}
    if any(isinstance(value, int) and value.bit_length() > 63 for value in values):
        return pandas.Series(values, dtype=object)
    if kinds == {int} and None in values:
        return pandas.array(values, dtype="Int64")
    if kinds == {bool} and None in values:
        return pandas.array(values, dtype="boolean")
    if kinds <= {int, float} and kinds:
        return pandas.Series(values)
    return pandas.Series(values, dtype=None if kinds == {bool} else object)
