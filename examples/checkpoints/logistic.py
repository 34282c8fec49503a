"""The mean of a logistic map over many steps, which are saved every thousand of them."""

from __future__ import annotations

from typing import Any

STEPS = 20_000


def mean(r: float, checkpoint: Any) -> dict[str, float]:
    """Iterate the map; the numbers are the same wherever the run is interrupted."""
    state = checkpoint.load() or {"step": 0, "x": 0.5, "total": 0.0}
    while state["step"] < STEPS:
        for _ in range(1000):
            state["x"] = r * state["x"] * (1.0 - state["x"])
            state["total"] += state["x"]
        state["step"] += 1000
        checkpoint.save(state)  # raises hpcsweep.Preempted when the task has to end
    return {"mean": state["total"] / STEPS}
