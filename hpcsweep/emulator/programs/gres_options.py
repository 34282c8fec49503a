"""--gres and --gpus* of a job or a step: their values and their variables."""

from __future__ import annotations

import os
import re
from typing import NoReturn

from hpcsweep.emulator.messages import INVALID_GRES, INVALID_TRES
from hpcsweep.emulator.programs import options
from hpcsweep.emulator.programs.job_options import Layer, count, fail

_GPUS = ("gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task")
# The variables of sbatch from which srun takes the options that its command line does not have.
_VARIABLES = {"gpus": "SLURM_GPUS", "gpus-per-node": "SLURM_GPUS_PER_NODE"}


def per_node(layer: Layer, nodes: int) -> str:
    """--gres and --gpus* as `gpu:2,shard:1` for each node of the job."""
    counts: dict[str, int] = {}
    parts = [part.removeprefix("gres/") for part in layer.get("gres", "").split(",") if part]
    tasks = count(layer, "ntasks") or 1
    for name in _GPUS:
        if name in layer:
            number = layer[name].rpartition(":")[2]
            if not number.isdigit():
                _misspelled()
            total = int(number) * {"gpus": 1, "gpus-per-task": tasks}.get(name, nodes)
            parts.append(f"gpu:{-(-total // nodes)}")
    if "mem-per-gpu" in layer and not parts:
        fail(INVALID_GRES)
    for part in parts:
        match = re.fullmatch(r"([\w.-]+)(?::[A-Za-z][\w.-]*)?(?::(\d+))?", part)
        if match is None:
            _misspelled()
        counts[match[1]] = counts.get(match[1], 0) + int(match[2] or 1)
    return ",".join(f"{name}:{number}" for name, number in counts.items() if number)


def of_step(layer: Layer, nodes: int) -> str:
    """Like `per_node` for srun; empty if the step gets all that the job has."""
    if not {"gres", *_GPUS} & set(layer):
        inherited = {name: os.environ.get(key, "") for name, key in _VARIABLES.items()}
        layer = layer | {name: value for name, value in inherited.items() if value}
    return per_node(layer, nodes)


def variables(layer: Layer) -> dict[str, str]:
    """What sbatch itself adds to the job's environment."""
    variables = {key: layer[name] for name, key in _VARIABLES.items() if name in layer}
    number = layer.get("gpus-per-task")
    if number is None:
        return variables
    if not options.version().since("24.11"):
        return variables | {"SLURM_GPUS_PER_TASK": number}
    bound = {"SLURM_TRES_BIND": f"gres/gpu:per_task:{number}"}
    return variables | bound | {"SLURM_TRES_PER_TASK": f"gres/gpu={number}"}


def _misspelled() -> NoReturn:
    fail(INVALID_TRES if options.version().since("24.11") else INVALID_GRES)
