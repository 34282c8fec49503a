"""The target: one training run. It continues from its last checkpoint, wherever it was ended."""

EPOCHS = 20


def train(learning_rate, momentum, case, log, checkpoint):
    """Fit a line by gradient descent; put your model, data and optimizer here."""
    slope, noise = 3.0, 0.1
    state = checkpoint.load() or {"epoch": 0, "weight": 0.0, "speed": 0.0, "loss": 0.0}
    while state["epoch"] < EPOCHS:
        rng = case.stream(f"epoch {state['epoch']}")  # the same numbers after an interruption
        for _ in range(100):
            x = rng.normal()
            error = state["weight"] * x - (slope * x + noise * rng.normal())
            state["loss"] = 0.99 * state["loss"] + 0.01 * error**2
            state["speed"] = momentum * state["speed"] - learning_rate * error * x
            state["weight"] += state["speed"]
        state["epoch"] += 1
        # `hpcsweep logs -f SWEEP INDEX` shows it while it runs.
        log.info(f"epoch {state['epoch']}: loss {state['loss']:.4g}")
        checkpoint.save(state)  # raises hpcsweep.Preempted if the task has to end
    return {"loss": state["loss"], "weight": state["weight"]}
