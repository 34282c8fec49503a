"""The verbs that send cases to a cluster, wait for them and cancel them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hpcsweep import settings as settings_module
from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import Incomplete, InputError
from hpcsweep.importing import refuse_while_importing
from hpcsweep.manifest.frozen import sealed
from hpcsweep.manifest.policies import Policies
from hpcsweep.notify import Notify, logged, print_notice
from hpcsweep.progress import new_sentences, progress_bar
from hpcsweep.records import RERUNS
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.status import Checks, wait
from hpcsweep.state.summary import Summary
from hpcsweep.submission.advance import advance, follow
from hpcsweep.submission.after import submit_after
from hpcsweep.submission.cancel import cancel
from hpcsweep.submission.cancel_cases import cancel_cases
from hpcsweep.submission.cancelled import Cancelled
from hpcsweep.submission.followers import Follower
from hpcsweep.submission.notices import notices
from hpcsweep.submission.planning import Planned, planned
from hpcsweep.submission.request import SubmitRequest, Submitted
from hpcsweep.submission.stages import submit_stages
from hpcsweep.submission.sweep_lock import patiently
from hpcsweep.sweep.base import SweepBase
from hpcsweep.sweep.description import SweepDescription
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables.request import Cases, selection_of
from hpcsweep.tables.selection import Selection, selected_cases
from hpcsweep.tables.sweep_cases import SweepCases

_log = logging.getLogger(__name__)


def _refuse_unknown(rerun: str | None) -> None:
    """*Raises* InputError for what is none of `RERUNS`."""
    if rerun not in (None, *RERUNS):
        raise InputError(
            f"{rerun!r} is nothing that can be computed again",
            where="rerun",
            next_step=f"Known are {', '.join(RERUNS)} and None.",
        )


def _with_canary(version: Version, canary: int) -> Version:
    """The same manifest with another size of its canary. *Raises* InputError."""
    if not 0 <= canary <= version.source.n_cases:
        raise InputError(
            f"a canary of {canary} cases is none of {version.source.n_cases}",
            where="canary",
            next_step="Give how many cases go first, 0 for none.",
        )
    manifest = version.manifest
    policies = dataclasses.replace(Policies.from_json(manifest.policies), canary=canary)
    manifest = sealed(dataclasses.replace(manifest, policies=policies.to_json()))
    return Version.of(manifest, version.source)


class SubmitVerbs(SweepDescription):
    """A sweep whose cases are sent, awaited and cancelled."""

    def plan(
        self,
        *,
        ask: bool = False,
        throttle: int = 0,
        rerun: str | None = None,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
        canary: int | None = None,
        notify: Notify | None = print_notice,
    ) -> Planned:
        """What a submit with these arguments would send. Nothing is sent.

        Args:
            ask: Whether the target is checked and the cluster is asked what it would say, as by
                `hpcsweep submit --dry-run`.
            throttle: See `submit`, as for all others.

        Returns:
            The submissions that would be made, each with its batch script.

        Examples:
            >>> planned = hs.Sweep("s", hs.grid(x=[1, 4]), target="math:sqrt").plan(notify=None)
            >>> planned.n_planned, planned.submissions[0].plan.chunks
            (2, 2)
            >>> planned.submissions[0].script.splitlines()[0]
            '#!/bin/bash'
        """
        _refuse_unknown(rerun)
        self._write_generated()
        selection, log_notice = selection_of(cases, where, status, last), logged(notify)
        request = dataclasses.replace(
            self._request(selection, log_notice, canary), throttle=throttle, rerun=rerun
        )
        cluster = self._target_cluster(None) if ask else None
        return planned(request, cluster, self._settings, log_notice, scripts=True)

    def submit(
        self,
        *,
        throttle: int = 0,
        rerun: str | None = None,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
        allow_mixed: bool = False,
        replace: bool = False,
        canary: int | None = None,
        after: SweepBase | str | Path | None = None,
        notify: Notify | None = print_notice,
    ) -> Submitted:
        """Submit the missing cases, or the selected ones of them. Safe to repeat.

        It may wait, up to 150 s for an sbatch that was never answered.

        Args:
            throttle: At most so many array tasks at once; 0 for any number.
            rerun: What is computed again, too: "stale", "failed", "lost" or "all".
            cases: Only these: indices, ranges and beginnings of case ids as on the command line,
                or a list of indices and case ids.
            where: Only the cases for which this condition holds: `"omega < 3"`.
            status: Only the cases with these statuses.
            last: Only the cases whose last submission has this number.
            allow_mixed: Whether another target or seed under the same name is accepted.
            replace: Whether queued tasks with other options are cancelled and sent anew.
            canary: So many cases go first, the others when one of them is complete; 0 for none.
            after: Another sweep: everything is sent when that is over, and nothing now. Of the
                others only `throttle` may stand beside it.
            notify: Is called with what there is to say meanwhile and afterwards; None keeps it
                silent.

        Raises:
            HpcsweepError: Every branch of `errors`; after an error nothing of what it created
                remains, unless the cluster may have accepted something.

        Examples:
            >>> sent = sweep.submit(cases=[0, 1])
            >>> sent.plan is None, sent.outlook.complete.count
            (True, 2)
            >>> sent.to_json()["submissions"]
            []
        """
        _refuse_unknown(rerun)
        refuse_while_importing("submit")  # before a cluster is looked for, or started
        self._write_generated()
        selection, log_notice = selection_of(cases, where, status, last), logged(notify)
        other = None if after is None else self._other(after)
        if other is not None:
            if rerun or selection or allow_mixed or replace or canary is not None:
                raise InputError(
                    "a whole sweep is sent later, as it is described",
                    where="after",
                    next_step="Leave out all but `throttle`.",
                )
            awaiting = self._submit_after(other, throttle, log_notice)
            if awaiting is not None:
                return awaiting
        request = dataclasses.replace(
            self._request(selection, log_notice, canary),
            throttle=throttle,
            rerun=rerun,
            allow_mixed=allow_mixed,
            replace=replace,
        )
        return self._send(request, self._target_cluster(other), log_notice)

    def append(
        self,
        cases: Sequence[Mapping[str, Any]],
        *,
        throttle: int = 0,
        notify: Notify | None = print_notice,
    ) -> Submitted:
        """Append cases to the newest ones of the sweep, and submit what is missing. Safe to repeat.

        Earlier cases keep their indices and results, and run on. A case that is there already
        is not appended again. Processes that append at once wait for each other.

        Args:
            cases: The parameters of each case.
            throttle: See `submit`.
            notify: As of `submit`.

        Raises:
            SourceError: For what is no case, or twice in `cases`.
            SweepError: For a sweep whose cases are not listed: those of a grid, a table, a search.
            HpcsweepError: As `submit`.

        Examples:
            >>> first, second = {"omega": 1.0, "dt": 0.01}, {"omega": 2.0, "dt": 0.01}
            >>> listed = hs.Sweep("listed", hs.manual([first]), target="model.py:simulate")
            >>> sent = listed.append([second, first])
            >>> listed.n_cases, listed.case(1).params["omega"]
            (2, 2.0)
        """
        refuse_while_importing("append")
        self._write_generated()
        log_notice = logged(notify)
        request = dataclasses.replace(
            self._request(Selection(), log_notice, None),
            throttle=throttle,
            appended=tuple(cases),
        )
        cluster = self._target_cluster(None)
        done = patiently(lambda: self._send(request, cluster, log_notice))
        self._described = done.sweep.newest()
        return done

    def _send(self, request: SubmitRequest, cluster: Cluster, notify: Notify) -> Submitted:
        if self._submitted is None and self._place.notice:
            notify(self._place.notice)
        done = submit_stages(request, cluster, self._settings, notify)
        for notice in notices(done, request):
            notify(notice)
        self._submitted = done.sweep
        return done

    def retry(
        self,
        *,
        throttle: int = 0,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
        notify: Notify | None = print_notice,
    ) -> Submitted:
        """Submit the missing and the failed cases, or the selected ones of them.

        The arguments are those of `submit`.

        Examples:
            >>> sweep.retry(cases=[0, 1]).plan is None
            True
        """
        return self.submit(
            rerun="failed",
            throttle=throttle,
            cases=cases,
            where=where,
            status=status,
            last=last,
            notify=notify,
        )

    def wait(
        self,
        *,
        progress: bool = False,
        on_change: Callable[[Summary], None] | None = None,
        notify: Notify | None = print_notice,
    ) -> Summary:
        """Wait until nothing more will happen by itself; the sweep is advanced meanwhile.

        Args:
            progress: Whether a bar is shown, on a terminal or in a notebook.
            on_change: Is called with every summary.
            notify: Is called with what keeps tasks in the queue and does not pass by itself, which
                the bar shows, too.

        Returns:
            The last summary.

        Raises:
            Incomplete: If not every case is complete then.

        Examples:
            >>> try:
            ...     sweep.wait()
            ... except hs.Incomplete as problem:
            ...     print(problem.what)
            not every case is complete: 2 complete, 1 failed of 3
        """
        log_notice, seen = logged(None if progress else notify), set[str]()
        with progress_bar(show=progress) as update:

            def show(summary: Summary) -> None:
                update(summary)
                for sentence in new_sentences(summary, seen):
                    log_notice(sentence)
                if on_change is not None:
                    on_change(summary)

            watch = partial(
                wait,
                self._directory,
                self._recorded_cluster,
                self._settings,
                show,
                Checks.COUNTS if on_change is None else Checks.NOTHING,
            )
            summary = self._follow(watch, log_notice)
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

    def _follow(self, watch: Callable[[], Summary], log_notice: Notify) -> Summary:
        cluster = self._recorded_cluster
        if cluster is None:  # it cannot be asked from here, so nothing can be sent, either
            return watch()
        return follow(self._directory, cluster, self._settings, watch, log_notice)

    def advance(self, *, notify: Notify | None = print_notice) -> Submitted:
        """Send what did not fit, and what the key `retry` of the manifest repeats.

        Any number of them at once send nothing twice. When the cases are complete it sends the
        reduce, and the sweeps that follow.

        Examples:
            >>> sweep.advance().plans
            ()
        """
        cluster = registry.require_recorded(self._directory, self._settings)
        return advance(self._directory, cluster, self._settings, logged(notify))

    def cancel(
        self,
        *,
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] | None = None,
        last: int | None = None,
        notify: Notify | None = print_notice,
    ) -> Cancelled:
        """Cancel what the sweep has on its cluster; results stay.

        Selected cases alone are cancelled in whole array tasks; a task that holds other cases, too,
        passes over them. The arguments are those of `submit`.

        Raises:
            ClusterUnavailable: If the cluster could not be asked.

        Examples:
            >>> sweep.cancel().jobs
            ()
        """
        sweep, log_notice = self._directory, logged(notify)
        selection = selection_of(cases, where, status, last)
        selected = self._selected(selection)
        if selected is None:
            return cancel(sweep, self._recorded_cluster, self._settings, log_notice)
        done = cancel_cases(sweep, self._recorded_cluster, self._settings, selected, log_notice)
        for line in done.lines if selected else [selection.nothing_found]:
            log_notice(line)
        return done

    def _request(self, selection: Selection, notify: Notify, canary: int | None) -> SubmitRequest:
        """What to submit of the described cases; `canary` is another size than the manifest's."""
        described = self._version
        if canary is not None:
            described = _with_canary(described, canary)
        selected = selected_cases(selection, described, self.path)
        if selected is not None and not selected:
            notify(selection.nothing_found)
        return SubmitRequest(
            manifest=described.manifest,
            source=described.source,
            path=self.path,
            selection=selected,
        )

    def _submit_after(
        self, other: SweepDirectory, throttle: int, notify: Notify
    ) -> Submitted | None:
        """Have it submitted when `other` is over; None if it is already."""
        with SweepCases(self._settings, self._root) as cases:
            manifest, source, awaited, when = cases.read_after(self._read, other)
        request = SubmitRequest(manifest=manifest, source=source, path=self.path, throttle=throttle)
        follower = Follower(request=request, source=awaited, when=when)
        lines = submit_after(follower, other, self._cluster, self._settings, notify)
        if lines is None:
            return None
        for line in lines:
            notify(line)
        outlook = Outlook.of_nothing(request.version)
        return Submitted(sweep=self._directory, outlook=outlook)

    def _target_cluster(self, other: SweepDirectory | None) -> Cluster:
        """The named cluster, or the one of the last submission, or of the sweep before it."""
        named = self._cluster or self._settings.cluster
        if self._cluster is None and other is not None:
            return registry.require_recorded(other, self._settings)
        if named == settings_module.AUTO and self._submitted is not None:
            return registry.require_recorded(self._submitted, self._settings)
        return registry.choose(named, self._settings, self.path)
