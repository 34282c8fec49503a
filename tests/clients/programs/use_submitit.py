"""submitit: an array, and a job that fails."""

import operator
from pathlib import Path

import submitit

executor = submitit.AutoExecutor(folder=Path("submitit"), cluster="slurm")
executor.update_parameters(timeout_min=5, slurm_array_parallelism=2, tasks_per_node=1, nodes=1)
jobs = executor.map_array(operator.add, [1, 2, 3], [10, 20, 30])
assert [job.result() for job in jobs] == [11, 22, 33]
failing = executor.submit(operator.truediv, 1, 0)
assert "ZeroDivisionError" in str(failing.exception())
