"""The lanes of a task: each works on one case at a time, with a slot and outputs of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import CaseNeeds
from hpcsweep.sweepdir.plan import WorkerRules
from hpcsweep.worker import cpus
from hpcsweep.worker.cgroup import MemoryCgroup, requested_bytes
from hpcsweep.worker.child import Server
from hpcsweep.worker.function import FunctionCalls
from hpcsweep.worker.messages import ChildProgram, Work
from hpcsweep.worker.outputs import Directories, NoFiles, Outputs
from hpcsweep.worker.process import Share
from hpcsweep.worker.runner import Runner
from hpcsweep.worker.slot import Slot
from hpcsweep.worker.start import Assignment, Start

if TYPE_CHECKING:
    from hpcsweep.logbook.packs import PackWriter


class Lane(NamedTuple):
    """A slot with its outputs."""

    slot: Slot
    outputs: Outputs
    # Makes cases, if that needs user code.
    maker: Slot | None

    @property
    def slots(self) -> Iterator[Slot]:
        """The slot, and the maker if there is one."""
        yield self.slot
        if self.maker is not None:
            yield self.maker


class Lanes:
    """Opens the lanes of a task; they share its pack, if it has one."""

    def __init__(
        self,
        assignment: Assignment,
        manifest: FrozenManifest,
        making: Work | None,
        runner: Runner,
        rules: WorkerRules,
    ) -> None:
        """Imports all modules that lanes need.

        `making`: the work of a child that makes cases, if they cannot be read here.
        """
        self._assignment, self._manifest, self._making = assignment, manifest, making
        self._runner, self._rules = runner, rules
        self._memory = MemoryCgroup.find(os.environ.get("SLURM_JOB_ID", ""))
        self._pack: PackWriter | None = None
        self._make_program = _program_maker(manifest)
        self._make_outputs = self._outputs_maker()
        self._make_shares = _shares_maker(manifest, assignment.start)

    def share_out(self, shares: list[Share]) -> None:
        """Use these shares of the slots, not those of the whole task."""
        self._make_shares = lambda: shares

    def open(self, most: int) -> list[Lane]:
        """Open as many lanes as the task has slots, at most `most`, and one at least.

        *Raises* InputError if the task has not what a case needs.
        """
        return [self._open_one(share) for share in self._make_shares()[: max(1, most)]]

    def open_maker(self, share: Share | None = None) -> Slot | None:
        """Open a slot that makes cases; None if they can be read here."""
        making = self._making
        return None if making is None else self._slot(Server(making), share or Share())

    def sync_pack(self) -> None:
        """Fsync the pack. *Raises* SweepError."""
        if self._pack is not None:
            self._pack.sync()

    def _open_one(self, share: Share) -> Lane:
        outputs = self._make_outputs()
        share = share._replace(memory=self._memory, descriptors=outputs.descriptors)
        slot = self._slot(self._make_program(), share)
        return Lane(
            slot=slot, outputs=outputs, maker=self.open_maker(share._replace(descriptors=()))
        )

    def _slot(self, program: ChildProgram, share: Share) -> Slot:
        return Slot(
            self._runner,
            program,
            term_grace_s=self._rules["term_grace_s"],
            case_timeout_s=self._manifest.case_timeout_s,
            share=share,
        )

    def _outputs_maker(self) -> Callable[[], Outputs]:
        layout, sweep = self._assignment.plan.layout, self._assignment.sweep.path
        is_command = self._manifest.target.is_command
        if layout.runs == "all":
            return partial(Directories, sweep, layout)
        if layout.runs == "none":
            return partial(NoFiles, is_command=is_command)
        from hpcsweep.worker import spooled  # noqa: PLC0415  # few layouts need it

        if layout.runs == "failed":
            return partial(spooled.FailedOnly, sweep, layout, is_command=is_command)
        token = self._assignment.attempt.token
        self._pack = spooled.open_pack(sweep, self._assignment.chunk, token)
        return partial(spooled.Packed, self._pack, is_command=is_command)


def _program_maker(manifest: FrozenManifest) -> Callable[[], ChildProgram]:
    if manifest.target.is_command:
        from hpcsweep.worker.command import Command  # noqa: PLC0415  # for commands only

        return partial(Command, manifest)
    return lambda: Server(FunctionCalls(manifest), forks=manifest.isolation == "case")


def _shares_maker(manifest: FrozenManifest, start: Start) -> Callable[[], list[Share]]:
    if manifest.needs == CaseNeeds():
        return partial(_whole_share, manifest.resources.cpus, start.mem_bytes)
    from hpcsweep.worker.shares import shares_of  # noqa: PLC0415  # most tasks have one slot

    return partial(shares_of, manifest, os.environ, start)


def _whole_share(count: int, mem_bytes: int | None) -> list[Share]:
    """The share of the only slot of a task with so many CPUs; its memory if that is known."""
    (bound,) = cpus.cpu_sets(os.environ, 1, count)
    threads = cpus.thread_variables(os.environ, count)
    mem_bytes = mem_bytes or requested_bytes(os.environ)
    return [Share(cpus=bound, environment=threads, mem_bytes=mem_bytes)]
