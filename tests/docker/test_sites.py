"""The manifests of slurm_templates/sites, as they are, on a cluster that has what they need.

Modules, the virtual environment, MPI and the generic resources are real. Apptainer is a stand-in,
which checks its arguments and runs the program without a container.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.container_cluster import NODES, REPOSITORY, ContainerCluster

SITES = REPOSITORY / "slurm_templates" / "sites"
SOLVER = """#!/bin/sh
awk -v x="$1" 'BEGIN { printf "{\\"square\\": %s}", x * x }' >"$2"
"""
MODULE = "#%Module\nprepend-path PATH $env(HOME)/solver/bin\n"
APPTAINER = """#!/bin/bash
[[ "$1 $2 $3" == "exec --cleanenv --bind" && -d $4 && $5 == solver.sif ]] || exit 64
exec env -i PATH="$HOME/solver/bin:/usr/bin:/bin" "${@:6}"
"""
RUN = """\
import json, os, sys
assert sys.prefix == os.environ["VIRTUAL_ENV"] != sys.base_prefix, sys.prefix
json.dump({"square": float(sys.argv[1]) ** 2}, open(sys.argv[2], "w"))
"""
GPUS = """\
import os


def visible(omega):
    names = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE")
    return {name: os.environ[name] for name in names}
"""
PI = """\
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int rank, ranks, place, first, nodes;
    double sum = 0, pi;
    MPI_Comm node;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &place);
    first = place == 0;
    int n = atoi(argv[1]);
    for (int i = rank; i < n; i += ranks) {
        double x = (i + 0.5) / n;
        sum += 4 / (1 + x * x) / n;
    }
    MPI_Reduce(&sum, &pi, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    MPI_Reduce(&first, &nodes, 1, MPI_INT, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0) {
        FILE *out = fopen(argv[2], "w");
        fprintf(out, "{\\"pi\\": %.6f, \\"ranks\\": %d, \\"nodes\\": %d}", pi, ranks, nodes);
        fclose(out);
    }
    MPI_Finalize();
}
"""


def swept(cluster: ContainerCluster, name: str, **files: str) -> list[dict[str, Any]]:
    """The table of the sweep that one of the manifests describes, with more files beside it."""
    home = "/shared/home/ada"
    project = f"{home}/sites/{name}"
    cluster.write(f"{project}/manifest.yaml", (SITES / f"{name}.yaml").read_text())
    for path, text in files.items():
        cluster.write(f"{project}/{path}", text)
    cluster.write(f"{home}/solver/bin/solver", SOLVER)
    cluster.run(f"chmod 755 {home}/solver/bin/solver")

    cluster.run(
        f"cd {project} && {PREPARE.get(name, 'true')} && hpcsweep submit manifest.yaml --wait"
    )

    table = cluster.run(f"hpcsweep collect {project}/outputs/{name} --format jsonl").stdout
    rows: list[dict[str, Any]] = [json.loads(line) for line in table.splitlines()]
    assert {row["status"] for row in rows} == {"complete"}
    assert {row["host"] for row in rows} <= set(NODES)
    return rows


# What the person who submits does before.
PREPARE = {
    "modules": "mkdir -p ~/modulefiles/solver && cp 1.2 ~/modulefiles/solver/",
    "venv": "python3 -m venv --without-pip ~/myenv",
    "apptainer": "chmod 755 apptainer && export PATH=$PWD:$PATH",
    "mpi": "mpicc -o pi pi.c",
    "mpirun": "mpicc -o pi pi.c",
}


def test_a_program_of_a_module(cluster: ContainerCluster) -> None:
    rows = swept(cluster, "modules", **{"1.2": MODULE})

    assert [row["square"] for row in rows] == [1, 4, 9]


def test_a_virtual_environment_under_set_u(cluster: ContainerCluster) -> None:
    rows = swept(cluster, "venv", **{"run.py": RUN})

    assert [row["square"] for row in rows] == [1, 4, 9]


def test_a_program_in_an_image(cluster: ContainerCluster) -> None:
    rows = swept(cluster, "apptainer", apptainer=APPTAINER)

    assert [row["square"] for row in rows] == [1, 4, 9]


@pytest.mark.parametrize("launcher", ["mpi", "mpirun"])
def test_an_mpi_program_on_two_nodes(cluster: ContainerCluster, launcher: str) -> None:
    if launcher == "mpi" and cluster.version == "26.05":
        assert "pmix" not in cluster.run("srun --mpi=list 2>&1").stdout
        pytest.skip("Debian builds Slurm 26.05 without PMIx, and srun starts no Open MPI without")
    rows = swept(cluster, launcher, **{"pi.c": PI})

    assert [(row["ranks"], row["nodes"]) for row in rows] == [(4, 2)] * 2
    assert all(abs(row["pi"] - 3.141593) < 1e-5 for row in rows)


def test_each_task_has_a_gpu(cluster: ContainerCluster) -> None:
    rows = swept(cluster, "gpus", **{"gpus.py": GPUS})

    assert {row["SLURM_GPUS_ON_NODE"] for row in rows} == {"1"}
    assert all(row["CUDA_VISIBLE_DEVICES"] == row["SLURM_JOB_GPUS"] in ("0", "1") for row in rows)
