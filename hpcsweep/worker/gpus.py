"""GPUs of a case: the variables that make its slot's devices visible, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# The driver of AMD's GPUs.
_AMD = Path("/dev/kfd")
# Slurm sets one of them, or all (22.05 to 26.05: without AutoDetect and Flags in gres.conf).
_ROCR = "ROCR_VISIBLE_DEVICES"
# On AMD they number the devices that ROCR_VISIBLE_DEVICES leaves, not those of the node.
_BEHIND_ROCR = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
VARIABLES = (*_BEHIND_ROCR, _ROCR, "ZE_AFFINITY_MASK")
# Values that show no device; Slurm's own until 20.11, and CUDA's.
_NOTHING = ("", "NoDevFiles", "-1")


def visible(environment: Mapping[str, str]) -> dict[str, list[str]]:
    """The devices of this task by variable, as they are named there: number, UUID or MIG device."""
    devices = {
        name: [] if environment[name] in _NOTHING else environment[name].split(",")
        for name in VARIABLES
        if name in environment
    }
    count = environment.get("SLURM_GPUS_ON_NODE", "")
    if not any(devices.values()) and count.isdigit():
        return {"CUDA_VISIBLE_DEVICES": [str(number) for number in range(int(count))]}
    return devices


def count(environment: Mapping[str, str]) -> int:
    """How many GPUs the task has."""
    return max((len(devices) for devices in visible(environment).values()), default=0)


def variables(environment: Mapping[str, str], slot: int, gpus_per_case: int) -> dict[str, str]:
    """The variables of a slot, by its 0-based number."""
    devices = visible(environment)
    first, has = slot * gpus_per_case, count(environment)
    variables = {
        name: ",".join(named[first : first + gpus_per_case])
        for name, named in devices.items()
        if len(named) == has
    }
    if _ROCR in variables and _AMD.exists():
        own = ",".join(map(str, range(gpus_per_case)))
        variables |= dict.fromkeys(variables.keys() & set(_BEHIND_ROCR), own)
    return variables
