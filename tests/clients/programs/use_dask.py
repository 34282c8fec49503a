"""dask-jobqueue: two workers as jobs."""

import operator

from dask.distributed import Client
from dask_jobqueue import SLURMCluster

cluster = SLURMCluster(
    queue="main",
    cores=1,
    memory="300MB",
    walltime="00:10:00",
    interface="lo",
    processes=1,
    job_extra_directives=["--comment=dask"],
    log_directory="logs",
)
cluster.scale(jobs=2)
with Client(cluster) as client:
    client.wait_for_workers(2, timeout=120)
    assert client.gather(client.map(operator.neg, range(10))) == [-x for x in range(10)]
cluster.close()
