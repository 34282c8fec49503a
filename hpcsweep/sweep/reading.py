"""The verbs that read what is known of a sweep's cases: states, logs and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.notify import Notify, logged, print_notice
from hpcsweep.runs.check import FileCheck, check_all_files
from hpcsweep.runs.files import CaseFile, case_files
from hpcsweep.runs.find import DamageReport
from hpcsweep.runs.logs import CaseLogs, case_logs
from hpcsweep.runs.salvage import journal_kept_runs
from hpcsweep.runs.unpack import unpack
from hpcsweep.state.log_following import LogPiece, follow_log
from hpcsweep.state.status import Checks, status
from hpcsweep.state.summary import Summary
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.diagnosis import Diagnosis, diagnose
from hpcsweep.submission.doctor import Finding
from hpcsweep.sweep.description import SweepDescription
from hpcsweep.tables.request import Cases, selection_of
from hpcsweep.tables.selection import Selection


class ReadingVerbs(SweepDescription):
    """A sweep whose states, logs and files are read."""

    def status(self, *, check: bool = False) -> Summary:
        """The counts of the sweep's cases by status, and what is known besides.

        Args:
            check: Whether the files of every complete case are looked for: `lost` counts the cases
                without files. `changed` counts those whose inputs have changed, of more than
                20,000 cases only with it.

        Raises:
            SweepError: If nothing was submitted yet.

        Examples:
            >>> summary = sweep.status()
            >>> summary
            <Summary of 'swing': 2 complete, 1 failed of 3>
            >>> summary.reasons, summary.is_settled
            ({'error': 1}, True)
            >>> summary.to_json()["schema"]
            'hpcsweep.status/1'
        """
        checks = Checks.EVERYTHING if check else Checks.INPUTS
        return status(self._directory, self._recorded_cluster, self._settings, checks=checks)

    def check(self) -> FileCheck:
        """Look for the files of every complete case, and read what hpcsweep wrote of it.

        Examples:
            >>> found = sweep.check()
            >>> found.checked, found.is_intact
            (2, True)
        """
        return check_all_files(self._directory)

    def doctor(self, *, cluster: str | None = None, node: bool = False) -> list[Finding]:
        """Check what the sweep needs: versions, file system, quota, cluster, index and files.

        Args:
            cluster: Which cluster; by default that of the constructor.
            node: Whether a small job checks a compute node, too.

        Examples:
            >>> {finding.what: finding.state for finding in sweep.doctor()}["database"]
            'ok'
        """
        submitted = self._directory if self.is_submitted else None
        what = Diagnosis(
            sweep=submitted,
            outputs=self.path.parent,
            kind=cluster or self._cluster or self._settings.cluster,
            profile=self._profile,
            node=node,
        )
        return diagnose(what, self._settings)

    @overload
    def logs(self, case: int | str) -> CaseLogs: ...

    @overload
    def logs(
        self,
        case: None = None,
        *,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
    ) -> list[CaseLogs]: ...

    def logs(
        self,
        case: int | str | None = None,
        *,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
    ) -> CaseLogs | list[CaseLogs]:
        """What a case logged and printed, by its index or the beginning of its case id.

        Args:
            case: The case; without it the others select cases as for `submit`.

        Returns:
            The logs, which `print` shows; a list of them for selected cases.

        Examples:
            >>> logs = sweep.logs(2)
            >>> logs.state
            'failed: error: the step is too long for this frequency'
            >>> "too long" in logs
            True
            >>> [logs.index for logs in sweep.logs(status="failed")]
            [2]
        """
        selection = selection_of(cases, where, status, last)
        if (case is None) != bool(selection):
            raise InputError(
                "logs are of one case, or of selected cases",
                where="logs",
                next_step="Give a case, or cases, where, status or last.",
            )
        if case is not None:
            selection = Selection(cases=str(case))
        indices = self._selected(selection) or IndexSet()
        found = [logs.read() for logs in case_logs(self._directory, indices, DamageReport())]
        return found if case is None else found[0]

    def follow_log(self, case: int | str) -> Iterator[LogPiece]:
        """What a case logs and prints, until it has ended; see `hpcsweep logs -f`.

        Yields:
            Pieces with the name of the file; one whose `where` is empty is about the case itself.

        Examples:
            >>> next(sweep.follow_log(0)).text
            'index 0: complete\\n'
        """
        for index in self._selected(Selection(cases=str(case))) or ():
            yield from follow_log(self._directory, index, self._recorded_cluster, self._settings)

    def files(
        self,
        name: str,
        *,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
        notify: Notify | None = print_notice,
    ) -> Iterator[CaseFile]:
        """One file of every case that has it, in index order, from run directories or packs.

        Args:
            name: A path in the run directory, such as `artifacts/metrics.json`.
            cases: Which cases; this and the others as for `submit`.
            notify: Is called with the cases whose files are gone or damaged; None keeps it silent.

        Raises:
            InputError: If no case has the file.

        Examples:
            >>> for one in sweep.files("artifacts/final.json"):
            ...     print(one.index, one.read().split())
            0 [b'{', b'"E":', b'0.5', b'}']
            1 [b'{', b'"E":', b'2.0', b'}']
        """
        report, selection = DamageReport(), selection_of(cases, where, status, last)
        for index, files in case_files(self._directory, name, report, self._selected(selection)):
            yield CaseFile(index=index, name=name, files=files)
        for line in report.named:
            logged(notify)(line)

    def unpack(
        self,
        *,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
    ) -> list[Path]:
        """Make run directories of packed runs, for other programs. The packs stay. Safe to repeat.

        The arguments are those of `submit`.

        Raises:
            InputError: If nothing is packed.

        Examples:
            >>> try:
            ...     sweep.unpack()
            ... except hs.InputError as problem:
            ...     print(problem.what)
            nothing is packed
        """
        selection = selection_of(cases, where, status, last)
        return list(unpack(self._directory, DamageReport(), self._selected(selection)))

    def ingest(self, *, rebuild: bool = False, salvage: bool = False) -> int:
        """Bring the index up to date with the journals, as every other verb does, too.

        Args:
            rebuild: Whether the index is forgotten and all journals are read again.
            salvage: Whether outcomes that only run directories and packs have are journaled first.

        Returns:
            Count of the cases in the index.

        Raises:
            StoreError: A rebuild would lose what the index alone has, as journals are gone.

        Examples:
            >>> sweep.ingest(rebuild=True)
            3
        """
        directory = self._directory.writable()
        if salvage:
            journal_kept_runs(directory)
        with fresh_index(directory, rebuild=rebuild) as sweep_index:
            return sum(sweep_index.counts().values())
