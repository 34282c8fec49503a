# %% [markdown]
# # How well is the energy conserved?
# The oscillator's energy should stay at omega^2 / 2. This notebook-like script reads the sweep
# that `examples/oscillator/sweep.py` (or `make demo`) submitted, and ends in a figure.

# %%
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

import hpcsweep as hs

# %% The sweep is found again by its name: another process submitted it.
sweep = hs.Sweep(sys.argv[1] if len(sys.argv) > 1 else "oscillator")
frame = sweep.to_dataframe(status=["complete"])
frame["error"] = (frame["energy"] - frame["omega"] ** 2 / 2).abs() / (frame["omega"] ** 2 / 2)
print(frame[["omega", "dt", "energy", "error"]].to_string(index=False))

# %%
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for omega, some in frame.sort_values("dt").groupby("omega"):
    axes.loglog(some["dt"], some["error"], marker="o", label=f"omega = {omega:g}")
axes.set(xlabel="time step dt", ylabel="relative error of the energy")
axes.set_title("Velocity Verlet, 1,000 steps")
axes.grid(visible=True, alpha=0.3)
axes.legend()
figure.savefig(Path(sweep.path) / "energy.png", dpi=150)
print(f"figure: {sweep.path / 'energy.png'}")
