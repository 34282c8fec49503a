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
        """The name of the run."""
        return self.files.run_id

    @property
    def path(self) -> Path:
        """The run directory. *Raises* RunMissing for a packed run, which has none."""
        if isinstance(self.files, FolderFiles):
            return self.files.root
        raise RunMissing(
            "a packed run has no directory of its own",
            where=self.files.label,
            next_step="Read it here, or make directories of packs: hpcsweep unpack SWEEP",
        )

    @property
    def meta(self) -> dict[str, Any]:
        """The content of `metadata.json`. *Raises* SweepError if it is damaged."""
        return self._document("metadata.json")

    @property
    def status(self) -> str:
        """complete, failed, interrupted or running; unknown if it cannot be determined."""
        if isinstance(self.files, FolderFiles):
            return run_status(self._intact("metadata.json"), self.files.root)
        return str((self._intact("metadata.json") or {}).get("status", "unknown"))

    @property
    def params(self) -> dict[str, Any]:
        """The params; empty if the run has none."""
        return read_params(self.files.read)

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics in `artifacts/metrics.json`; empty if the run reported none."""
        metrics: dict[str, Any] = with_floats(self.metrics_json)
        return metrics

    @property
    def metrics_json(self) -> dict[str, Any]:
        """The metrics as the file has them, and journals; see `metric_values`."""
        return self._document("artifacts/metrics.json")

    @property
    def provenance(self) -> dict[str, Any]:
        """The code, host, Python and packages that made the run; empty if they were not kept.

        The metadata names the file; it lies below the nearest parent directory that has it.
        """
        named = self.meta.get("provenance")
        for above in self.files.home.absolute().parents if isinstance(named, str) else ():
            text = read_content(f"{above}/{checked_name(str(named))}")
            if text is not None:
                return dict(self._parsed(text, str(named)))
        return {}

    @property
    def steps(self) -> list[tuple[str, float, Any]]:
        """Stepped metrics as (name, step, value), in the order of their reports."""
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
        """Names for `load_array`: `x` for `data/x.npy`, `bundle:key` for each key of an .npz."""
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
        """The names of all files below `artifacts/`."""
        return self._below("artifacts")

    @property
    def plots(self) -> list[str]:
        """The names of all files below `plots/`."""
        return self._below("plots")

    def load_array(self, name: str) -> Any:
        """Load one array by its name in `arrays`.

        *Raises* RunMissing if there is no such file, KeyError if the bundle lacks the key,
        InputError for a damaged file, and for an object array: nothing is unpickled.
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
        exist."""
        text = self.files.read(f"artifacts/{name.removesuffix('.json')}.json")
        return {} if text is None else self._parsed(text, f"artifacts/{name}")

    def read(self, name: str) -> bytes:
        """The content of any file of the run. *Raises* RunMissing."""
        with self.files.open(name) as stream:
            return stream.read()

    def __repr__(self) -> str:
        return f"<LogReader {self.run_id!r}>"

    def __str__(self) -> str:
        params = ", ".join(f"{name}={value}" for name, value in self.params.items())
        meta = self._intact("metadata.json") or {}
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

    def _intact(self, name: str) -> dict[str, Any] | None:
        try:
            return self._document(name)
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
