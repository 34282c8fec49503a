"""`Sweep`: the verbs of the command line for a notebook or a script."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep import settings as settings_module
from hpcsweep import yamltext
from hpcsweep.cache.run_fill import fill_table
from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import ExtraMissing, Incomplete, InputError
from hpcsweep.importing import refuse_while_importing
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.user import resolve
from hpcsweep.progress import new_sentences, progress_bar
from hpcsweep.records import RERUNS
from hpcsweep.runs.find import DamageReport
from hpcsweep.runs.logs import case_logs
from hpcsweep.sources import ParameterSource
from hpcsweep.sources.seedplan import SeededCase
from hpcsweep.state.status import Summary, status, wait
from hpcsweep.submission.advance import advance, follow
from hpcsweep.submission.cancel import cancel
from hpcsweep.submission.cancel_cases import cancel_cases
from hpcsweep.submission.notices import notices
from hpcsweep.submission.stages import submit_stages
from hpcsweep.submission.submit import SubmitRequest, Submitted
from hpcsweep.sweepdir import locate
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables.collect import TableRequest, collect
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.selection import Selection, selected_cases
from hpcsweep.tables.sweep_cases import SweepCases
from hpcsweep.terminal_text import visible
from hpcsweep.yamltext import Document

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)

# Indices, ranges and case ids as `--cases` takes them, or a list of indices and case ids.
Cases = str | Iterable[int | str] | None
# A function that is called with each notice.
Notify = Callable[[str], None]


def print_notice(text: str) -> None:
    """Print a notice on standard error, like the command line."""
    sys.stderr.write(f"{visible(text)}\n")
    sys.stderr.flush()


class Sweep:
    """A sweep by name: from a source and a target, from a manifest, or one submitted before.

    The constructor writes nothing; `submit` does. Every method *raises* the errors of `errors`.

    >>> import hpcsweep as hs
    >>> sweep = hs.Sweep("doc", hs.grid(x=[1, 2]), target="math:sqrt")
    >>> sweep.n_cases
    2
    """

    def __init__(
        self,
        name: str | None = None,
        source: ParameterSource | Mapping[str, Any] | None = None,
        *,
        manifest: str | Path | None = None,
        root: str | Path = ".",
        cluster: str | None = None,
        profile: str | None = None,
        sets: Mapping[str, Any] | None = None,
        **keys: Any,
    ) -> None:
        """Describe a sweep by `name`, `source` and the keys of a manifest, or by a `manifest`.

        The keys are target or command, replicates, seed, setup, slurm, chunk and so on; `target`
        may be a function, and a source the mapping that a manifest has. `root` is what relative
        paths of the target start from. `sets` are the dotted keys of `--set`. With a name alone
        it is the sweep that was submitted before.
        """
        values = dict(sets or {})
        self._settings, profile_keys = settings_module.load(
            profile, values, os.environ, registry.check_kind
        )
        plugins = self._settings.plugin_options
        self._cluster = cluster
        self._submitted: SweepDirectory | None = None
        if manifest is not None:
            path = Path(manifest)
            document = yamltext.load(path)
        elif source is None and not keys:
            self._submitted = locate.locate(name or "", Path(self._settings.outputs))
            self._described = self._submitted.newest()
            self.name = self._described.manifest.name
            return
        else:
            path = Path(root) / "-"
            document = _document(name, source, keys, Path(root))
        with SweepCases(self._settings, path.parent) as cases:
            described = resolve(document, path, values, profile_keys, plugins, cases.expand)
        self._described = Version.of(*described)
        self.name = self._described.manifest.name

    @property
    def n_cases(self) -> int:
        """Count of cases with replicates."""
        return self._described.source.n_cases

    def case(self, index: int) -> SeededCase:
        """A case as its target gets it: `sweep.case(3).stream("noise")`. *Raises* IndexError."""
        return SeededCase.of(self._described.source[index], self._described.manifest.seed)

    @property
    def path(self) -> Path:
        """The sweep directory, which may not exist yet."""
        if self._submitted is not None:
            return self._submitted.path
        return Path(self._settings.outputs) / self.name

    def submit(
        self,
        *,
        throttle: int = 0,
        rerun: str | None = None,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] = (),
        last: int | None = None,
        allow_mixed: bool = False,
        replace: bool = False,
        notify: Notify | None = print_notice,
    ) -> Submitted:
        """Submit the missing cases; see `hpcsweep submit`. *Safe to repeat.*

        `cases`, `where`, `status` and `last` select cases as on the command line; `cases` may also
        be a list of indices and case ids.
        It may wait, up to 150 s for an sbatch that was never answered: `notify` is called with
        what there is to say meanwhile and afterwards. None keeps it silent.
        """
        if rerun not in (None, *RERUNS):
            raise InputError(
                f"{rerun!r} is nothing that can be computed again",
                where="rerun",
                next_step=f"Known are {', '.join(RERUNS)} and None.",
            )
        refuse_while_importing("submit")  # before a cluster is looked for, or started
        described, selection = self._described, _selection(cases, where, status, last)
        cluster = self._target_cluster()
        log_notice = _logged(notify)
        selected = selected_cases(selection, described, self.path)
        if selected is not None and not selected:
            log_notice(selection.nothing_found)
        request = SubmitRequest(
            manifest=described.manifest,
            source=described.source,
            path=self.path,
            throttle=throttle,
            rerun=rerun,
            selection=selected,
            allow_mixed=allow_mixed,
            replace=replace,
        )
        done = submit_stages(request, cluster, self._settings, log_notice)
        for notice in notices(done, request):
            log_notice(notice)
        self._submitted = done.sweep
        return done

    def retry(
        self,
        *,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] = (),
        last: int | None = None,
        notify: Notify | None = print_notice,
    ) -> Submitted:
        """Submit the missing and the failed cases, or the selected ones of them."""
        return self.submit(
            rerun="failed", cases=cases, where=where, status=status, last=last, notify=notify
        )

    def status(self, *, check: bool = False) -> Summary:
        """The counts of the sweep's cases by status.

        With `check` it looks for the files of every complete case, and counts what is `lost`.
        """
        return status(self._directory, self._recorded_cluster, self._settings, check=check)

    def wait(
        self,
        *,
        progress: bool = False,
        on_change: Callable[[Summary], None] | None = None,
        notify: Notify | None = print_notice,
    ) -> Summary:
        """Wait until nothing more will happen by itself. *Raises* Incomplete.

        `progress` shows a bar; `on_change` is called with every look. `notify` is called with what
        keeps tasks in the queue and does not pass by itself, which the bar shows, too.
        """
        log_notice, seen = _logged(None if progress else notify), set[str]()
        with progress_bar(show=progress) as update:

            def show(summary: Summary) -> None:
                update(summary)
                for sentence in new_sentences(summary, seen):
                    log_notice(sentence)
                if on_change is not None:
                    on_change(summary)

            summary = self._follow(show, log_notice)
        if not summary.is_complete:
            raise Incomplete(
                f"not every case is complete: {summary.counts_text}",
                where=summary.path,
                next_step="status() says why; submit() sends what was interrupted, retry() also "
                "what failed.",
            )
        if summary.reduced is not None and not summary.is_finished:
            raise Incomplete(summary.reduced.line, where=summary.path)
        return summary

    def _follow(self, show: Callable[[Summary], None], log_notice: Notify) -> Summary:
        cluster = self._recorded_cluster
        if cluster is None:  # it cannot be asked from here, so nothing can be sent, either
            return wait(self._directory, None, self._settings, show)
        return follow(self._directory, cluster, self._settings, show, log_notice)

    def advance(self, *, notify: Notify | None = print_notice) -> Submitted:
        """Send what did not fit, and what `retry` repeats; see `hpcsweep advance`."""
        cluster = registry.require_recorded(self._directory, self._settings)
        return advance(self._directory, cluster, self._settings, _logged(notify))

    def cancel(
        self,
        *,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] = (),
        last: int | None = None,
        notify: Notify | None = print_notice,
    ) -> list[str]:
        """Cancel what the sweep has on its cluster. Returns the job ids, or those of array tasks.

        Selected cases alone are cancelled in whole array tasks; a task that holds other cases, too,
        passes over them.
        """
        sweep, log_notice = self._directory, _logged(notify)
        selection = _selection(cases, where, status, last)
        selected = selected_cases(selection, sweep.newest(), sweep.path) if selection else None
        if selected is None:
            return cancel(sweep, self._recorded_cluster, self._settings, log_notice)
        done = cancel_cases(sweep, self._recorded_cluster, self._settings, selected, log_notice)
        for line in done.lines if selected else [selection.nothing_found]:
            log_notice(line)
        return done.tasks

    def logs(self, case: int | str) -> str:
        """What a case logged and printed, by index or case id."""
        directory = self._directory
        selection = Selection(cases=str(case))
        selected = selected_cases(selection, directory.newest(), directory.path)
        logs = next(case_logs(directory, selected or IndexSet(), DamageReport()))
        texts = [f"==> {where}\n{text}" for where, text in logs.texts]
        return f"case {logs.case_id}, index {logs.index}: {logs.state}\n" + "".join(texts)

    def cases(self) -> Iterator[TableRow]:
        """One dict per index, in index order: params, metrics and what is known."""
        return iter(self.query())

    def query(
        self,
        where: str | None = None,
        *,
        cases: Cases = None,
        status: Sequence[str] = (),
        last: int | None = None,
        columns: Sequence[str] = (),
        attempts: bool = False,
    ) -> list[TableRow]:
        """The rows for which `where` holds, e.g. `"energy < 1 and omega == 2"`.

        With `attempts` there is a row for each attempt: what it asked for and what it used.
        """
        selection = _selection(cases, where, status, last)
        names, rows = self._collected(selection, columns, attempts=attempts)
        return [{name: row[name] for name in names.names if name in row} for row in rows]

    def to_dataframe(
        self,
        where: str | None = None,
        *,
        cases: Cases = None,
        status: Sequence[str] = (),
        last: int | None = None,
        columns: Sequence[str] = (),
        attempts: bool = False,
    ) -> pd.DataFrame:
        """The rows as a pandas DataFrame, in index order. Needs pandas.

        Where a case lacks an int, the column is of pandas' own Int64: ints stay exact.
        """
        try:
            import pandas as pd  # noqa: PLC0415  # an extra, and slow to import
        except ImportError as error:
            raise ExtraMissing(
                "to_dataframe needs pandas", next_step="Install it: pip install 'hpcsweep[pandas]'"
            ) from error
        selection = _selection(cases, where, status, last)
        names, rows = self._collected(selection, columns, attempts=attempts)
        frame = pd.DataFrame.from_records(rows, columns=names.names)
        for name in names.names:
            dtype = {"int": "Int64", "bool": "boolean"}.get(names.kinds[name])
            if dtype and frame[name].isna().any():
                frame[name] = pd.Series([row.get(name) for row in rows], dtype=dtype)
        return frame

    def _collected(
        self, selection: Selection, columns: Sequence[str], *, attempts: bool
    ) -> tuple[TableColumns, list[TableRow]]:
        tables: list[tuple[TableColumns, list[TableRow]]] = []
        collect(
            self._directory,
            self._recorded_cluster,
            self._settings,
            lambda columns, rows: tables.append((columns, list(rows))),
            TableRequest(selection=selection, columns=_words(columns), attempts=attempts),
        )
        problem = fill_table(self._directory)
        if problem:
            warnings.warn(problem, stacklevel=3)
        return tables[0]

    def _target_cluster(self) -> Cluster:
        """The named cluster, or the one of the last submission."""
        named = self._cluster or self._settings.cluster
        if named == settings_module.AUTO and self._submitted is not None:
            return registry.require_recorded(self._submitted, self._settings)
        return registry.choose(named, self._settings, self.path)

    @property
    def _directory(self) -> SweepDirectory:
        if self._submitted is None:
            self._submitted = SweepDirectory.open(self.path)
        return self._submitted

    @property
    def _recorded_cluster(self) -> Cluster | None:
        return registry.open_recorded(self._directory, self._settings)

    def __repr__(self) -> str:
        return f"<Sweep {self.name!r} in {self.path}>"


def _logged(notify: Notify | None) -> Notify:
    """A function that logs each notice, and passes it on."""

    def log_notice(text: str) -> None:
        _log.info("%s", text)
        if notify is not None:
            notify(text)

    return log_notice


class _Written(Document):
    """A manifest from Python: mistakes are located by keys, without lines."""

    def where(self, path: tuple[str | int, ...] = ()) -> str:  # noqa: ARG002  # the file's form
        """What was called."""
        return self.name


def _document(
    name: str | None,
    source: ParameterSource | Mapping[str, Any] | None,
    keys: Mapping[str, Any],
    root: Path,
) -> Document:
    values: dict[str, Any] = {} if name is None else {"name": name}
    if source is not None:  # what is no source is problem with the manifest's other mistakes
        values["source"] = (
            source.to_manifest_dict() if isinstance(source, ParameterSource) else source
        )
    values |= keys
    if "target" in keys:
        values["target"] = target_text(keys["target"], root)
    return _Written(value=values, name=f"Sweep({name!r})", line=lambda _: 0)


def _selection(
    cases: Cases, where: str | None, status: Sequence[str], last: int | None
) -> Selection:
    some = cases if isinstance(cases, str | None) else list(cases)
    return Selection(cases=some, where=where, status=_words(status), last=last)


def _words(given: Sequence[str]) -> tuple[str, ...]:
    """The texts as a tuple; a single text counts as a list of one."""
    return (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))


def target_text(target: str | Callable[..., Any], root: Path) -> str:
    """The text of a target: a function becomes `file.py:name` or `module:name`.

    *Raises* InputError for one that no task could import.
    """
    if isinstance(target, str):
        return target
    name, module = getattr(target, "__qualname__", ""), getattr(target, "__module__", "")
    if not name or "<" in name:
        raise InputError(
            f"{target!r} has no name that a task could import",
            where="target",
            next_step="Define it with def at the top of a file.",
        )
    if module != "__main__":
        return f"{module}:{name}"
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None or not inspect.isfunction(target):
        raise InputError(
            f"{name} was defined in a notebook or at a prompt, where no task can import it",
            where="target",
            next_step="Put it into a file beside the notebook and name it: target='file.py:name'.",
        )
    return f"{os.path.relpath(Path(file).resolve(), root.resolve())}:{name}"
