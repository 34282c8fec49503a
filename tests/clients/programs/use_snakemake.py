"""snakemake-executor-plugin-slurm: three rules as jobs."""

import subprocess
import sys
from pathlib import Path

Path("Snakefile").write_text(
    """
rule all:
    input: "sum.txt"
rule part:
    output: "part{n}.txt"
    resources: mem_mb=500, runtime=5, slurm_partition="main"
    shell: "echo $SLURM_JOB_ID > {output}"
rule add:
    input: "part1.txt", "part2.txt"
    output: "sum.txt"
    resources: mem_mb=500, runtime=5, slurm_partition="main"
    shell: "cat {input} > {output}"
"""
)
argv = [
    *(sys.executable, "-m", "snakemake", "--executor", "slurm", "--jobs", "2"),
    *(
        "--default-resources",
        "slurm_account=root",
        "--slurm-init-seconds-before-status-checks",
        "1",
    ),
    *("--seconds-between-status-checks", "1", "--latency-wait", "20"),
]
subprocess.run(argv, check=True)
assert len(set(Path("sum.txt").read_text().split())) == 2
