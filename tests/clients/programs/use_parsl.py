"""parsl: a block of two nodes, its workers started by srun."""

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SrunLauncher
from parsl.providers import SlurmProvider

provider = SlurmProvider(
    partition="main",
    nodes_per_block=2,
    init_blocks=1,
    max_blocks=1,
    walltime="00:10:00",
    launcher=SrunLauncher(),
    exclusive=True,
    scheduler_options="#SBATCH --comment=parsl",
)
executor = HighThroughputExecutor(
    label="slurm", address="127.0.0.1", max_workers_per_node=1, provider=provider
)
with parsl.load(Config(executors=[executor], run_dir="parsl", usage_tracking=0)):

    @parsl.python_app
    def node(number):
        # In another process.
        import os  # noqa: PLC0415
        import subprocess  # noqa: PLC0415

        subprocess.run(["sleep", "0.3"], check=True)  # so that no node can do it all
        return number, os.environ["SLURM_NODEID"]

    found = [future.result(timeout=120) for future in [node(number) for number in range(8)]]
assert [number for number, _ in found] == list(range(8))
assert {place for _, place in found} == {"0", "1"}
