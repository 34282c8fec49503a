"""Advance: submit what earlier submissions left for lack of room, and what `retry` repeats.

Whoever asks, a user, a closing job or a timer: it decides and submits under the turn of the sweep,
in the write order of every submission. *Safe to repeat*, by any number at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import SweepBusy, TargetError
from hpcsweep.files import read_json
from hpcsweep.import_guard import refuse_while_importing
from hpcsweep.settings import Settings
from hpcsweep.state.outlook import current_code
from hpcsweep.state.status import Summary, wait
from hpcsweep.submission import policy
from hpcsweep.submission.handing_in import Doubt, HandingIn
from hpcsweep.submission.preflight import Checked
from hpcsweep.submission.reconcile import resolve_unanswered
from hpcsweep.submission.submit import Submitted, Wish, outlook_for, send_batches
from hpcsweep.submission.turns import Turn, submitting
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import PROVENANCE
from hpcsweep.undo import undo_on_error

# Seconds for which it waits for another submit, cancel or advance, and between two tries.
PATIENCE_S = 300.0
POLL_S = 1.0


def advance(
    sweep: SweepDirectory,
    cluster: Cluster,
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
) -> Submitted:
    """Submit what the policies of the sweep's newest manifest decide; nothing after a `cancel`.

    *Raises* every branch of `errors`; TargetError where the user's code is not the one that was
    submitted. *Writes* submissions.
    """
    refuse_while_importing("advance")
    newest = sweep.newest()
    wish = Wish(
        manifest=newest.manifest,
        source=newest.source,
        path=sweep.path,
        throttle=_throttle(sweep),
        advances=True,
    )
    doubt = Doubt()
    with ExitStack() as stack:
        turn = _wait_for_turn(stack, sweep, say)
        made = stack.enter_context(undo_on_error(doubt))
        resolve_unanswered(sweep, cluster, settings, say)
        checked = _as_submitted(sweep)
        outlook = outlook_for(wish, sweep, cluster, settings, checked.code_digest)
        limits = cluster.with_room(cluster.limits(), wish.manifest.resources.options)
        done = Submitted(
            sweep=sweep,
            outlook=outlook,
            under_way=policy.under_way(outlook, wish.policy),
        )
        if sweep.cancelled_rest(sweep.submissions()[-1]).exists():
            return done
        batches = policy.decide(outlook, wish.policy, limits)
        if not batches:
            return replace(done, without_room=policy.sendable(outlook, wish.policy))
        _refuse_other_code(sweep, checked)
        desk = HandingIn(
            sweep=sweep, manifest=newest.manifest, cluster=cluster, limits=limits,
            settings=settings, checked=checked, say=say, turn=turn, made=made, doubt=doubt,
        )  # fmt: skip
        return send_batches(wish, desk, done, batches)


def _wait_for_turn(stack: ExitStack, sweep: SweepDirectory, say: Callable[[str], None]) -> Turn:
    """The turn of the sweep, even if another command has it now.

    That one may have decided before the array was over behind which this one runs: whoever gives
    up here may leave nobody to go on. *Raises* SweepBusy after `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return stack.enter_context(submitting(sweep, say))
        except SweepBusy:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def follow(
    sweep: SweepDirectory,
    cluster: Cluster,
    settings: Settings,
    show: Callable[[Summary], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Wait until nothing more will happen, and advance the sweep meanwhile; see `wait`.

    Closing jobs may do the same at the same time. *Raises* as `advance`.
    """
    while True:
        summary = wait(sweep, cluster, settings, show)
        if not any(sweep.plan(number)[0].closes for number in sweep.submissions()):
            return summary
        if summary.is_complete or not advance(sweep, cluster, settings, say).plans:
            return summary


def _throttle(sweep: SweepDirectory) -> int:
    """That of the last submission, over all of its parts."""
    plan, _ = sweep.plan(sweep.submissions()[-1])
    return sum(part.throttle for part in plan.parts)


def _as_submitted(sweep: SweepDirectory) -> Checked:
    """The user's code and packages as the last submission recorded them."""
    number = sweep.submissions()[-1]
    _, document = sweep.plan(number)
    origin = read_json(sweep.submission_dir(number) / PROVENANCE)
    return Checked(
        document.get("code_digest", ""),
        document.get("code_files", []),
        [f"{name}" for name in origin.get("packages", [])],
    )


def _refuse_other_code(sweep: SweepDirectory, checked: Checked) -> None:
    """*Raises* TargetError if the user's code changed since the last submission (invariant 27)."""
    version = sweep.newest()
    found = current_code(sweep, version)
    if found is not None and found != checked.code_digest:
        raise TargetError(
            f"its code changed since submission {sweep.submissions()[-1]}, and a retry runs the "
            "code that was submitted",
            where=version.manifest.target.text,
            next_step="Run `hpcsweep submit` to go on with the code as it is now, or restore it.",
        )
