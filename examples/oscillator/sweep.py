"""The oscillator sweep from Python: the same cases as manifest.yaml, and a DataFrame at the end.

Run it anywhere: `python examples/oscillator/sweep.py` uses the emulated cluster where there is
no Slurm.
"""

import shutil
from pathlib import Path

import hpcsweep as hs

sweep = hs.Sweep(
    "oscillator-python",
    hs.grid(omega=[1.0, 2.0, 3.0], dt=[1e-2, 1e-3]),
    target="oscillator.py:simulate",
    root=Path(__file__).parent,
    seed=42,
    slurm={"time": "00:05:00", "mem": "500M"},
    cluster="slurm" if shutil.which("sbatch") else "emulated",
)

if __name__ == "__main__":
    sweep.submit()
    sweep.wait(progress=True)
    print(sweep.to_dataframe(columns=["omega", "dt", "energy"]))
