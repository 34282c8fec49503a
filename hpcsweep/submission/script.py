"""The batch script of a submission, from the template that a site may override."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpcsweep.allocation import task_resources
from hpcsweep.cluster.scripts import ScriptForm
from hpcsweep.cluster.timelimit import warning_seconds
from hpcsweep.errors import InputError
from hpcsweep.quantities import time_limit_seconds
from hpcsweep.sweepdir.directory import SweepPaths
from hpcsweep.worker.launcher import Launcher, template_environment

# A backslash in `--output` switches its patterns off (22.05), so all tasks would write one file.
_NO_PATH = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """The variables of the template."""

    form: ScriptForm
    sweep_name: str
    # The manifest's options for sbatch, by their long names.
    options: Mapping[str, str]
    launcher: Launcher
    sweep_dir: str
    submission: int
    # The script's own path, and the count of nodes of a job on which it is started; 0 for one that
    # runs where its job begins.
    path: str = ""
    nodes: int = 0
    # Whether Slurm requeues the task after a preemption or a failure of its node.
    requeue: bool = True

    def render(self) -> str:
        """The script's text.

        *Raises* InputError for a directive that is not one line of words, and for a path that
        Slurm would not understand.
        """
        if _NO_PATH.search(self.sweep_dir):
            raise InputError(
                f"{self.sweep_dir!r} has a backslash or a control character",
                next_step="Choose another --outputs directory.",
            )
        limit = self.options.get("time")
        interpreter, task = self.launcher.interpreter, (self.sweep_dir, str(self.submission))
        template = template_environment().get_template(self.form.array)
        return template.render(
            sweep_name=self.sweep_name,
            options=self.options,
            directives=self.form.directives(self.options),
            launcher=self.launcher,
            worker=interpreter.worker(*task),
            own_worker=shlex.join(interpreter.module("hpcsweep.worker", *task)),
            submission=self.submission,
            logs=str(SweepPaths(Path(self.sweep_dir)).log_dir(self.submission)),
            resources=task_resources(self.options),
            path=shlex.quote(self.path),
            nodes=self.nodes,
            requeue=self.requeue,
            warning_seconds=warning_seconds(time_limit_seconds(limit) if limit else None),
        )
