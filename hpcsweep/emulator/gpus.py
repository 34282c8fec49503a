"""The GPUs of jobs and steps: their numbers on a node, and the variables that name them."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count, islice

# The variables of CUDA, OpenCL, ROCm and oneAPI. Slurm sets all of them if gres.conf has neither
# `AutoDetect` nor `Flags` (22.05 to 26.05).
_VISIBLE = (
    *("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"),
)


def lowest_free(how_many: int, used: Collection[int]) -> list[int]:
    """The lowest numbers that are not in use."""
    return list(islice((number for number in count() if number not in used), how_many))


def variables(numbers: Collection[int], owner: str) -> dict[str, str]:
    """The variables about the GPUs of a job (`owner` is `JOB`) or step (`STEP`) on one node."""
    if not numbers:
        return {}
    text = ",".join(map(str, numbers))
    return dict.fromkeys((*_VISIBLE, f"SLURM_{owner}_GPUS"), text) | {
        "SLURM_GPUS_ON_NODE": str(len(numbers))
    }
