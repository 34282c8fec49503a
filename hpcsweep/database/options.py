"""sbatch's options of a server's job: those of the profile, and above them `--set slurm.…`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.manifest import exclusive, slurm_options
from hpcsweep.settings import Profile


def job_options(
    profile: Profile, sets: Mapping[str, Any], plugin_options: Collection[str]
) -> dict[str, str]:
    """The options as a script has them. *Raises* InputError for one that cannot be given."""
    given = {
        key.removeprefix("slurm."): value for key, value in sets.items() if key.startswith("slurm.")
    }
    below = profile.get("slurm", {})
    options = {}
    for name, value in exclusive.put_over(below, given).items():
        problem = slurm_options.name_problem(name, plugin_options)
        problem = problem or slurm_options.value_problem(name, value)
        if problem is not None:
            what, next_step = problem
            where = f"--set slurm.{name}" if name in given else profile.where(("slurm", name))
            raise InputError(f"slurm: {name}: {what}", where=where, next_step=next_step)
        text = slurm_options.option_text(name, value)
        if text is not None:
            options[name] = text
    return options
