"""The limits that a site reports are the ones that it enforces: a real Slurm and the emulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.slurm import site_cache
from hpcsweep.cluster.slurm.client import Slurm
from hpcsweep.emulator.config import Partition, Qos
from tests.support.emulated import Emulated
from tests.support.fixtures import require_slurm
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.slurm_config import SlurmOptions
from tests.support.wait import wait_until

MIB = 2**20
REAL = SlurmOptions(
    nodes=2,
    extra=(
        "AccountingStorageEnforce=associations,limits,qos",
        "PartitionName=short Nodes=n[1-2] MaxTime=60 State=UP",
    ),
)
ACCOUNTS = (
    "add account inst GrpSubmitJobs=6",
    "add account acc1 parent=inst",
    "add account acc2 parent=inst",
    "add user root account=acc2",
    "add qos big MaxSubmitJobsPerUser=5 MaxWall=30",
    "add user root account=acc1 qos=normal,big DefaultQOS=normal MaxSubmitJobs=3",
    "modify user root set DefaultAccount=acc1",
)
EMULATED = {
    "nodes": 2,
    "strict": True,
    "account": "acc1",
    "accounts": ("acc1",),
    "partitions": (Partition(name="main"), Partition(name="short", max_time=60)),
    "qos": (Qos(name="normal"), Qos(name="big", max_submit_per_user=5, max_wall=30)),
    "max_submit_jobs": 3,
}


@dataclass
class LimitedSite:
    """A cluster with a short partition, a QOS with limits, and an association with one."""

    environment: Mapping[str, str]
    run: Callable[..., str]

    def slurm(self, limits_age_s: float = 0.0) -> Slurm:
        """The cluster as a command opens it."""
        return Slurm(
            kind="slurm",
            timeout_s=60,
            sbatch_timeout_s=180,
            limits_age_s=limits_age_s,
            environment=self.environment,
        )

    def limits(self, **options: str) -> Limits:
        """As a submit reads them; `_` of an option's name is `-`."""
        named = {name.replace("_", "-"): value for name, value in options.items()}
        slurm = self.slurm()
        return slurm.with_room(slurm.limits(), {"account": "acc1", **named})

    def waits_for(self, reason: str, *options: str) -> None:
        """Submit a job with these options and see it wait for this reason; cancel it."""
        argv = ("sbatch", "--parsable", "-A", "acc1", "-o", "/dev/null", *options, "--wrap=true")
        job = self.run(*argv).strip()
        wait_until(
            lambda: (
                (seen := self.run("squeue", "-h", "-j", job, "-o", "%r").strip()) == reason
                or str(seen)
            ),
            30,
            f"job {job} waits for {reason}",
        )
        self.cancel(job)

    def cancel(self, job: str) -> None:
        """Cancel a job, and wait until the queue is empty."""
        self.run("scancel", job)
        wait_until(lambda: not (left := self.run("squeue", "-h", "-r")) or left, 30, "the end")


@pytest.fixture(scope="module", params=["emulated", pytest.param("real", marks=pytest.mark.slurm)])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LimitedSite]:
    if request.param == "emulated":
        with Emulated(tmp_path_factory.mktemp("limits") / "cluster", **EMULATED) as cluster:
            yield LimitedSite(cluster.env(), cluster.out)
        return
    require_slurm()
    with PrivateSlurm(REAL) as slurm:
        for words in ACCOUNTS:
            slurm.run("sacctmgr", "-i", *words.split())
        environment = {"SLURM_CONF": str(Path(slurm.env()["SLURM_CONF"]))}
        yield LimitedSite(environment, lambda *argv: slurm.run(*argv).stdout)


def most(limits: Limits) -> dict[str, int]:
    """The ceilings that are above 0, by what they limit."""
    return {one.what: one.most for one in limits.ceilings if one.most}


def test_what_a_task_can_get(site: LimitedSite) -> None:
    sizes = {"nodes": 2, "cpus": 4, "mem": 4000 * MIB, "all cpus": 8}
    usual = site.limits()
    assert usual.unread == ()
    assert usual.impossible == ()
    assert site.run("sinfo", "--version").split()[-1] == usual.slurm_version
    assert most(usual) == sizes
    assert most(site.limits(partition="short")) == sizes | {"time": 3600}
    assert most(site.limits(partition="short", qos="big")) == sizes | {"time": 1800}
    assert most(site.limits(partition="short,main")) == sizes


def test_what_asks_for_more_waits_for_ever_or_is_refused(site: LimitedSite) -> None:
    (found,) = site.limits(partition="short", time="61").impossible
    assert "asks for 01:01:00, and a task can get 01:00:00 (MaxTime of the partition" in found.what
    site.waits_for("PartitionTimeLimit", "-p", "short", "-t", "61")
    (found,) = site.limits(qos="big", time="31").impossible
    assert "can get 00:30:00 (MaxWall of the QOS big)" in found.what
    site.waits_for("QOSMaxWallDurationPerJobLimit", "-q", "big", "-t", "31")
    for options, names in (
        ({"mem": "4001M"}, ["mem"]),
        ({"cpus_per_task": "5"}, ["cpus-per-task"]),
        ({"partition": "nope"}, ["partition"]),
        ({"account": "nope"}, ["account"]),
        ({"qos": "nope"}, ["qos"]),
        ({"gres": "gpu:1", "mem": "4000M", "cpus_per_task": "4", "time": "60"}, ["gres"]),
    ):
        assert [one.option for one in site.limits(**options).impossible] == names


def test_the_limit_of_a_qos_counts_in_place_of_the_associations(site: LimitedSite) -> None:
    usual = site.limits()
    assert (usual.max_jobs_name, usual.room) == ("MaxSubmitJobs of the association", 3)
    big = site.limits(qos="big")
    assert (big.max_jobs_name, big.room) == ("MaxSubmitJobsPerUser of the QOS big", 5)
    argv = ("sbatch", "--parsable", "-A", "acc1", "-H", "-o", "/dev/null", "--wrap=true")
    job = site.run(*argv, "-q", "big", "--array=0-4").strip()  # more than the association's
    assert site.limits(qos="big").room == 0
    site.cancel(job)


@pytest.mark.parametrize("site", [pytest.param("real", marks=pytest.mark.slurm)], indirect=True)
def test_the_limit_of_an_account_counts_all_jobs_below_it(site: LimitedSite) -> None:
    usual = site.limits(account="acc2")
    assert (usual.max_jobs_name, usual.room) == ("GrpSubmitJobs of the account inst", 6)
    assert usual.unread == ()
    argv = ("sbatch", "--parsable", "-A", "acc2", "-H", "-o", "/dev/null", "--wrap=true")
    with pytest.raises(AssertionError, match="AssocGrpSubmitJobsLimit"):
        site.run(*argv, "--array=0-6")
    job = site.run(*argv, "--array=0-5").strip()
    assert (site.limits(account="acc2").room, site.limits().room) == (0, 0)
    site.cancel(job)


def test_limits_are_kept_for_a_while(site: LimitedSite) -> None:
    keeping, options = site.slurm(limits_age_s=600), {"account": "acc1", "partition": "short"}
    assert keeping.remembered(options) is None
    first = keeping.with_room(keeping.limits(), options)
    assert keeping.with_room(keeping.limits(), options).read_at == first.read_at
    assert site.slurm().with_room(keeping.limits(), options).read_at != first.read_at
    known = keeping.remembered({**options, "time": "61"})
    assert known is not None
    assert (known.read_at, most(known)) == (first.read_at, most(first))
    assert [one.option for one in known.impossible] == ["time"]
    # Nothing is refused by limits that may have changed since.
    kept = site_cache.read(first.cluster_name)
    assert kept is not None
    shown = kept["output"]["partitions"]
    kept["output"]["partitions"] = shown.replace("MaxTime=01:00:00", "MaxTime=00:01:00")
    site_cache.write(first.cluster_name, keeping.address, kept)
    assert keeping.with_room(keeping.limits(), options).caps["time"] == 60
    again = keeping.with_room(keeping.limits(), {**options, "time": "60"})
    assert (again.impossible, again.caps["time"]) == ((), 3600)
