"""Run one case on this host, in the environment of a task; journals and index do not change."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hpcsweep.errors import TargetError
from hpcsweep.journal import outcome_json, outcome_of
from hpcsweep.logbook.json_values import with_floats, with_words
from hpcsweep.manifest import freezing
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import Outcome, Status
from hpcsweep.sources import ParameterSource
from hpcsweep.submission.checked_request import check_elsewhere
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.sweepdir.version import Version
from hpcsweep.undo import undo_on_error
from hpcsweep.worker.launcher import Launcher
from hpcsweep.worker.local import case_at, local_directory

PROGRAM = "hpcsweep.worker.local"
# Last lines of a program that gave no answer, for the message.
LINES_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalRun:
    """One case that was run on this host.

    Examples:
        >>> done = sweep.run(0)
        >>> isinstance(done, hs.LocalRun), done.metrics
        (True, {'energy': 0.5})
    """

    index: int
    case_id: str
    outcome: Outcome
    # Its run directory, apart from those of the sweep.
    path: Path

    def __repr__(self) -> str:
        why = f": {self.outcome.reason.value}" if self.outcome.reason else ""
        return f"<LocalRun {self.index}, {self.case_id}: {self.outcome.status.value}{why}>"

    @property
    def is_complete(self) -> bool:
        """Whether the case is complete.

        Examples:
            >>> sweep.run(2).is_complete
            False
        """
        return self.outcome.status is Status.COMPLETE

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics by name.

        Examples:
            >>> sweep.run(0).metrics
            {'energy': 0.5}
        """
        metrics: dict[str, Any] = with_floats(self.outcome.metrics)
        return metrics

    def to_json(self) -> dict[str, Any]:
        """Index, case id, and the outcome as a journal has it; NaN and infinities as texts.

        Examples:
            >>> sweep.run(0).to_json()["status"]
            'complete'
        """
        outcome = outcome_json(self.outcome)
        metrics = with_words(self.metrics)
        return {"index": self.index, "case_id": self.case_id, **outcome, "metrics": metrics}


def run_here(
    version: Version, index: int, outputs: Path, notify: Callable[[str], None] = lambda _: None
) -> LocalRun:
    """Run a case to its end, in a child.

    `outputs`: the directory of sweeps. *Raises* InputError for an index that the source does not
    have; TargetError if a setup line fails, or the program of the case ends without an outcome.
    *Writes* `<outputs>/<name>.local/`.
    """
    with _prepared(version, index, outputs, notify) as (launcher, arguments):
        with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
            answer = Path(temporary) / "answer.json"
            done = launcher.call(PROGRAM, *arguments, "--answer", str(answer))
            try:
                found = json.loads(answer.read_bytes())
            except FileNotFoundError as error:
                lines = done.stdout.decode(errors="replace").splitlines()[-LINES_SHOWN:]
                raise TargetError(
                    f"case {index} ended without an outcome: exit code {done.returncode}",
                    where=version.manifest.target.text,
                    next_step="\n  ".join(lines) or "It printed nothing.",
                ) from error
        outcome = outcome_of(found["outcome"])
        path = Path(outcome.run_dir or "")
        return LocalRun(index=index, case_id=found["case_id"], outcome=outcome, path=path)


def become_run(
    version: Version, index: int, outputs: Path, notify: Callable[[str], None], *, debug: bool
) -> NoReturn:
    """Like `run_here`, but become that program, which prints the outcome; `debug` with pdb."""
    with _prepared(version, index, outputs, notify) as (launcher, arguments):
        launcher.replace_process(PROGRAM, *arguments, *(["--pdb"] if debug else []))


@contextmanager
def _prepared(
    version: Version, index: int, outputs: Path, notify: Callable[[str], None]
) -> Iterator[tuple[Launcher, list[str]]]:
    """Yield what starts the program, and its arguments. *Writes* a frozen manifest."""
    case_at(version.source, index)
    outputs = outputs.absolute()
    directory = local_directory(outputs, version.manifest)
    manifest = _as_submitted(version.manifest, version.source, directory, notify)
    with undo_on_error() as made:
        kept = freezing.write(directory, manifest, version.source, made)
        yield Launcher.of(manifest, directory), [str(kept), str(index), str(outputs)]


def _as_submitted(
    manifest: FrozenManifest,
    source: ParameterSource,
    directory: Path,
    notify: Callable[[str], None],
) -> FrozenManifest:
    """The manifest with the interpreter that a submit would find behind its setup lines."""
    if not manifest.setup or manifest.interpreter is not None or manifest.target.is_command:
        return manifest
    request = SubmitRequest(manifest=manifest, source=source, path=directory)
    with contextlib.suppress(TargetError):  # the case will fail of it, and show where
        request, _ = check_elsewhere(request, {}, notify)
    return request.manifest
