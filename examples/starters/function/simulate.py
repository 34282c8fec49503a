"""The target: called once for every case, with its parameters by name."""


def simulate(omega, dt, log, rng):
    """Return metrics as a dict; `log` writes files into the run directory."""
    x, v = 1.0, rng.normal(0.0, 0.1)
    for _ in range(1000):
        v -= omega**2 * x * dt
        x += v * dt
    log.info(f"done with omega={omega}, dt={dt}")
    return {"energy": 0.5 * (v**2 + (omega * x) ** 2)}
