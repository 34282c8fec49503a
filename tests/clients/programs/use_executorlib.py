"""executorlib: functions as srun steps inside of a job."""

import subprocess
import sys
from pathlib import Path

Path("inside.py").write_text(
    """
import time
from executorlib import SlurmJobExecutor
def work(x):
    time.sleep(0.2)
    return x * x
if __name__ == "__main__":
    with SlurmJobExecutor(max_cores=2, resource_dict={"cores": 1}) as executor:
        print([future.result() for future in [executor.submit(work, x) for x in range(4)]])
"""
)
argv = [
    "sbatch",
    "--wait",
    "-n",
    "3",
    "-t",
    "5",
    "-o",
    "out",
    "--wrap",
    f"{sys.executable} inside.py",
]
subprocess.run(argv, check=True)
assert "[0, 1, 4, 9]" in Path("out").read_text()
