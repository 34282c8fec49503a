"""A harmonic oscillator, integrated with velocity Verlet: one case of a parameter sweep."""

import numpy as np


def simulate(omega, dt, log, steps=1000):
    """Integrate x'' = -omega^2 x from x=1 at rest and keep the trajectory."""
    x, v = 1.0, 0.0
    xs = np.empty(steps)
    for n in range(steps):
        a = -(omega**2) * x
        x += v * dt + 0.5 * a * dt * dt
        v += 0.5 * (a - omega**2 * x) * dt
        xs[n] = x
    log.array("x", xs)
    log.json("final_state", {"x": x, "v": v})
    log.info(f"integrated {steps} steps of {dt}")
    return {"energy": 0.5 * (v**2 + (omega * x) ** 2)}
