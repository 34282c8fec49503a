"""`LogReader`: read one finished or running run, plain or packed."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from pathlib import Path
from typing import Any

from hpcsweep.errors import Damaged, InputError, RunMissing, SweepError
from hpcsweep.files import parse_json
from hpcsweep.liveness import run_status
from hpcsweep.logbook.json_values import with_floats
from hpcsweep.logbook.libraries import damage_as_value_error
from hpcsweep.logbook.packs import PackedFiles
from hpcsweep.logbook.parameters import read_params
from hpcsweep.logbook.runfiles import FolderFiles, RunFiles
from hpcsweep.logbook.steps import STEPS
from hpcsweep.logbook.storage import checked_name, read_content

# Name, step and value of a stepped metric.
STEP_FIELDS = 3
_FILES = (FolderFiles, PackedFiles)


class LogReader:
    """One run: its metadata, params, metrics, arrays and files.

    *Raises* RunMissing if the directory does not exist, InputError if it is not a run.

    Examples:
        >>> with hs.Logbook("read", params={"omega": 1.0}) as log:
        ...     log.json("metrics", {"energy": 0.5})
        >>> hs.LogReader("outputs/log_read").metrics
        {'energy': 0.5}
    """

    def __init__(self, path: str | os.PathLike[str] | FolderFiles | PackedFiles) -> None:
        if isinstance(path, _FILES):  # checked first: the fast path of readers of many runs
            self.files: RunFiles = path
        else:
            folder = Path(path)
            if not folder.is_dir():
                raise RunMissing("this run directory does not exist", where=str(folder))
            if not (folder / "metadata.json").is_file():
                raise InputError("not a run directory: no metadata.json", where=str(folder))
            self.files = FolderFiles(folder)

    @property
    def run_id(self) -> str:
        """The name of the run.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> run.run_id in hs.ExperimentReader("outputs/swing")
            True
        """
        return self.files.run_id

    @property
    def path(self) -> Path:
        """The run directory. *Raises* RunMissing for a packed run, which has none.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> (run.path / "metadata.json").is_file()
            True
        """
        if isinstance(self.files, FolderFiles):
            return self.files.root
        raise RunMissing(
            "a packed run has no directory of its own",
            where=self.files.label,
            next_step="Read it here, or make directories of packs: hpcsweep unpack SWEEP",
        )

    @property
    def meta(self) -> dict[str, Any]:
        """The content of `metadata.json`. *Raises* SweepError if it is damaged.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> run.meta["status"]
            'complete'
        """
        return self._document("metadata.json")

    @property
    def status(self) -> str:
        """complete, failed, interrupted or running; unknown if it cannot be determined.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> run.status
            'complete'
        """
        if isinstance(self.files, FolderFiles):
            return run_status(self._intact_metadata(), self.files.root)
        return str((self._intact_metadata() or {}).get("status", "unknown"))

    @property
    def params(self) -> dict[str, Any]:
        """The params; empty if the run has none.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> run.params
            {'dt': 0.01, 'omega': 1.0}
        """
        return read_params(self.files.read)

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics in `artifacts/metrics.json`; empty if the run reported none.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> run.metrics
            {'energy': 0.5}
        """
        metrics: dict[str, Any] = with_floats(self.metrics_json)
        return metrics

    @property
    def metrics_json(self) -> dict[str, Any]:
        """The metrics as the file has them, and journals; see `metric_values`.

        Examples:
            >>> with hs.Logbook("diverged") as log:
            ...     log.metric("energy", float("nan"))
            >>> hs.LogReader("outputs/log_diverged").metrics_json
            {'energy': {'$float': 'nan'}}
        """
        return self._document("artifacts/metrics.json")

    @property
    def provenance(self) -> dict[str, Any]:
        """The code, host, Python and packages that made the run; empty if they were not kept.

        The metadata names the file; it lies below the nearest parent directory that has it.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> "python" in run.provenance
            True
        """
        named = self.meta.get("provenance")
        for above in self.files.home.absolute().parents if isinstance(named, str) else ():
            text = read_content(f"{above}/{checked_name(str(named))}")
            if text is not None:
                return dict(self._parsed(text, str(named)))
        return {}

    @property
    def steps(self) -> list[tuple[str, float, Any]]:
        """Stepped metrics as (name, step, value), in the order of their reports.

        Examples:
            >>> with hs.Logbook("stepped") as log:
            ...     log.metric("loss", 0.5, step=1)
            >>> hs.LogReader("outputs/log_stepped").steps
            [('loss', 1, 0.5)]
        """
        text = self.files.read(STEPS) or b""
        # A last line without its end was being written when the run was killed.
        whole = text[: text.rfind(b"\n") + 1].decode(errors="replace")
        rows = csv.reader(io.StringIO(whole, newline=""))
        # A row that a full disk cut off is joined with the next one.
        try:
            complete = [row for row in rows if len(row) == STEP_FIELDS][1:]
        except csv.Error as error:
            where = f"{self.files.label}/{STEPS}"
            raise Damaged(f"cannot be read: {error}", where=where) from error
        return [(name, _number(step), _number(value)) for name, step, value in complete]

    @property
    def arrays(self) -> list[str]:
        """Names for `load_array`: `x` for `data/x.npy`, `bundle:key` for each key of an .npz.

        Examples:
            >>> with hs.Logbook("waves") as log:
            ...     log.arrays("wave", x=[0, 1], y=[2, 3])
            >>> hs.LogReader("outputs/log_waves").arrays
            ['wave:x', 'wave:y']
        """
        arrays = []
        for name in self._below("data"):
            if name.endswith(".npy"):
                arrays.append(name.removesuffix(".npy"))
            elif name.endswith(".npz"):
                bundle = name.removesuffix(".npz")
                arrays += [f"{bundle}:{key}" for key in self._keys(f"data/{name}")]
        return sorted(arrays)

    @property
    def artifacts(self) -> list[str]:
        """The names of all files below `artifacts/`.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> sorted(run.artifacts)
            ['final.json', 'metrics.json']
        """
        return self._below("artifacts")

    @property
    def plots(self) -> list[str]:
        """The names of all files below `plots/`.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> run.plots
            []
        """
        return self._below("plots")

    def load_array(self, name: str) -> Any:
        """Load one array by its name in `arrays`.

        *Raises* RunMissing if there is no such file, KeyError if the bundle lacks the key,
        InputError for a damaged file, and for an object array: nothing is unpickled.

        Examples:
            >>> with hs.Logbook("loaded") as log:
            ...     log.array("x", [0, 1])
            >>> hs.LogReader("outputs/log_loaded").load_array("x").tolist()
            [0, 1]
        """
        import numpy as np  # noqa: PLC0415  # rarely used

        names = set(self.files.names())
        member, key = f"data/{name}.npy", ""
        if member not in names:
            bundles = [name[:i] for i, sign in enumerate(name) if sign == ":"]
            matches = [bundle for bundle in bundles if f"data/{bundle}.npz" in names]
            if not matches:
                raise RunMissing(f"there is no array {name!r}", where=self.files.label)
            member, key = f"data/{matches[-1]}.npz", name[len(matches[-1]) + 1 :]
        try:
            with damage_as_value_error(), self.files.open(member) as stream:
                if not key:
                    return np.lib.format.read_array(stream, allow_pickle=False)
                with zipfile.ZipFile(stream) as archive, archive.open(f"{key}.npy") as inner:
                    return np.lib.format.read_array(inner, allow_pickle=False)
        except ValueError as error:
            where = f"{self.files.label}/{member}"
            raise InputError(f"cannot be read: {error}", where=where) from error

    def load_json(self, name: str) -> Any:
        """The value in `artifacts/<name>.json`, with or without the suffix; {} if it does not
        exist.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> run.load_json("final")
            {'E': 0.5}
        """
        text = self.files.read(f"artifacts/{name.removesuffix('.json')}.json")
        return {} if text is None else self._parsed(text, f"artifacts/{name}")

    def read(self, name: str) -> bytes:
        """The content of any file of the run. *Raises* RunMissing.

        Examples:
            >>> run = hs.ExperimentReader("outputs/swing")[0]
            >>> len(run.read("log.txt")) > 0
            True
        """
        with self.files.open(name) as stream:
            return stream.read()

    def __repr__(self) -> str:
        return f"<LogReader {self.run_id!r}>"

    def __str__(self) -> str:
        params = ", ".join(f"{name}={value}" for name, value in self.params.items())
        meta = self._intact_metadata() or {}
        lines = [
            repr(self),
            f"  params: {params or '(missing)'}",
            f"  meta: status={meta.get('status', 'unknown')}",
        ]
        for title in ("arrays", "artifacts", "plots"):
            items = getattr(self, title)
            if items:
                lines += [f"  {title}:", *(f"    - {item}" for item in items)]
        return "\n".join(lines)

    def _below(self, directory: str) -> list[str]:
        prefix = f"{directory}/"
        return [name[len(prefix) :] for name in self.files.names() if name.startswith(prefix)]

    def _keys(self, bundle: str) -> list[str]:
        try:
            with (
                damage_as_value_error(),
                self.files.open(bundle) as stream,
                zipfile.ZipFile(stream) as archive,
            ):
                names = archive.namelist()
                return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
        except ValueError:
            return []

    def _document(self, name: str) -> dict[str, Any]:
        text = self.files.read(name)
        document = {} if text is None else self._parsed(text, name)
        if not isinstance(document, dict):
            raise Damaged("holds no JSON object", where=f"{self.files.label}/{name}")
        return document

    def _intact_metadata(self) -> dict[str, Any] | None:
        try:
            return self._document("metadata.json")
        except SweepError:
            return None

    def _parsed(self, text: bytes, name: str) -> Any:
        try:
            return parse_json(text)
        except ValueError as error:
            raise Damaged(
                f"is damaged, it is not JSON: {error}", where=f"{self.files.label}/{name}"
            ) from error


def _number(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text or None
