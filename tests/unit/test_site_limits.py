"""The limits of a site, from what a real Slurm 22.05 prints of partitions, nodes and accounts."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from hpcsweep.cluster.ceilings import ALL_CPUS, CPUS, GPUS, MEMORY, NODES, RUNNING, TIME
from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.slurm import site, site_cache
from hpcsweep.cluster.slurm.site import Site, SiteAnswers
from hpcsweep.errors import ClusterError
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.manifest.policies import Policies
from hpcsweep.settings import cache_home
from hpcsweep.submission.arrays import is_requeued
from hpcsweep.submission.limits import refuse_impossible, summary
from tests.support.transcripts import one

MIB = 2**20
RECORDED = "09-partition-limits"
CONFIGURATION = {
    "AccountingStorageEnforce": "associations,limits,qos",
    "ClusterName": "test",
    "JobSubmitPlugins": "(null)",
    "MaxArraySize": "1001",
}


def answers(**changed: str) -> SiteAnswers:
    """The recorded answers of a site; `changed` replaces the answers of queries."""
    output = {
        "partitions": one(RECORDED, "-a -o show partition").text,
        "nodes": one(RECORDED, "^sinfo").text,
        "associations": one(RECORDED, "show assoc").text,
        "qos": one(RECORDED, "show qos").text,
    }
    return {
        "time": time.time(),
        "configuration": CONFIGURATION,
        "output": output | changed,
        "failed": {},
    }


def limits(options: dict[str, str], found: SiteAnswers | None = None) -> Limits:
    """The limits for a task with these options."""
    found = found or answers()
    base = site.limits_in(found["configuration"])
    return Site.of(found).limits(base, options, [], read_at=found["time"])


def amounts(options: dict[str, str], found: SiteAnswers | None = None) -> dict[str, int]:
    return {one.what: one.most for one in limits(options, found).ceilings if not one.kind}


def test_the_queries_are_those_that_were_recorded() -> None:
    asked = site.queries("root", CONFIGURATION)
    del asked["accounts"]  # this one is asked in the contract on a real Slurm
    asked["qos"][-1] = asked["qos"][-1].removesuffix(",gracetime")  # so is this column
    # Recorded on a cluster with a database of its own.
    assert {" ".join(argv).replace(" cluster=test", "") for argv in asked.values()} == {
        one(RECORDED, pattern).command
        for pattern in ("-a -o show partition", "^sinfo", "show assoc", "show qos")
    }
    assert [*site.queries("root", {})] == ["partitions", "nodes"]


def test_the_grace_of_a_preempted_job_is_that_of_its_partition() -> None:
    partitions = one(RECORDED, "-a -o show partition").text
    assert limits({"partition": "short"}).preempt_grace_s == 0
    changed = answers(partitions=partitions.replace("GraceTime=0", "GraceTime=300"))
    assert limits({"partition": "short"}, changed).preempt_grace_s == 300


def test_the_grace_of_a_preempted_job_is_that_of_its_qos() -> None:
    # After name, flags and eight limits; an answer that was kept may lack it.
    qos = f"normal{10 * '|'}00:00:08\nlong{10 * '|'}00:05:00\nold{9 * '|'}\n"
    changed = answers(associations="acc1||normal,long,old|normal|||||||\n", qos=qos)
    by_qos = answers(associations=changed["output"]["associations"], qos=qos)
    by_qos["configuration"] = CONFIGURATION | {"PreemptType": "preempt/qos"}
    graces = [
        limits(options, by_qos).preempt_grace_s
        for options in ({}, {"qos": "long"}, {"qos": "old"}, {"qos": "unknown"})
    ]
    assert graces == [8, 300, 0, 0]
    assert limits({"qos": "long"}, changed).preempt_grace_s == 0


@pytest.mark.parametrize(
    ("configuration", "requeues"),
    [({"JobRequeue": "1"}, True), ({"JobRequeue": "0"}, False), ({}, True)],
)
@pytest.mark.parametrize("own", [None, True, False])
def test_whether_tasks_are_requeued(
    configuration: dict[str, str], requeues: bool, own: bool | None
) -> None:
    """As the manifest says, else as the cluster; never where a cluster requeues nothing."""
    manifest = FrozenManifest(
        name="s",
        root="/home/me",
        target=Target(argv=("prog",)),
        source={},
        policies=Policies(requeue=own).to_json(),
    )
    here = site.limits_in(configuration)
    assert is_requeued(manifest, here) is (requeues if own is None else own)
    assert is_requeued(manifest, replace(here, requeues=None)) is False


def test_limits_of_a_partition_and_its_nodes() -> None:
    found = amounts({"partition": "short", "account": "root"})
    assert found[TIME] == 3600
    assert found[NODES] == 1
    assert found[MEMORY] == 2000 * MIB
    assert found[CPUS] == 4
    assert found[GPUS] == 2
    assert found[ALL_CPUS] == 8


def test_limits_on_memory_and_cpus_of_each_node() -> None:
    found = amounts({"partition": "cpu", "account": "root"})
    assert found[CPUS] == 2
    assert found[MEMORY] == 2000 * MIB  # 500 MiB for each of 4 CPUs
    assert TIME not in found


def test_without_a_partition_the_default_one_counts() -> None:
    found = amounts({"account": "acc1"})
    assert found[TIME] == 6000  # MaxWall of the association
    assert found[NODES] == 2  # its MaxTRESPerJob
    assert found[MEMORY] == 4000 * MIB


def test_a_qos_may_free_its_jobs_of_the_partitions_time() -> None:
    assert amounts({"partition": "short", "account": "acc1"})[TIME] == 3600
    found = limits({"partition": "short", "account": "acc1", "qos": "big"})
    assert {one.what: one.most for one in found.ceilings}[TIME] == 6000
    assert found.max_jobs_name == "MaxSubmitJobsPerUser of the QOS big"
    assert found.max_jobs == 5


def test_the_qos_of_a_partition_counts_before_the_association() -> None:
    changed = answers(
        partitions=one(RECORDED, "-o show partition short").text,
        qos=one(RECORDED, "show qos").text.replace("pq|||||", "pq||||1|", 1),
    )
    found = amounts({"partition": "short", "account": "acc1"}, changed)
    assert found[TIME] == 1800
    assert found[ALL_CPUS] == 3
    assert found[RUNNING] == 1


def test_several_partitions_give_what_the_most_generous_gives() -> None:
    found = amounts({"partition": "short,cpu", "account": "root"})
    assert TIME not in found
    assert found[NODES] == 2
    assert found[CPUS] == 4


def test_a_node_with_gpus_of_a_type() -> None:
    nodes = "main|2|64|256000|gpu:a100:4(S:0-1),shard:8\nmain|1|64|512000|(null)\n"
    found = limits({"account": "root", "gres": "gpu:v100:1"}, answers(nodes=nodes))
    assert [one.most for one in found.ceilings if one.kind == "a100"] == [4]
    assert amounts({"account": "root"}, answers(nodes=nodes))[MEMORY] == 512000 * MIB


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"partition": "short", "account": "acc1", "qos": "big"}, []),
        ({"partition": "nope"}, ["partition is nope, and this cluster has no such partition"]),
        ({"partition": "short,nope"}, ["partition is nope, and this"]),
        ({"account": "nope"}, ["account is nope, and this cluster has no such account for you"]),
        ({"account": "ACC1"}, []),
        ({"account": "root", "qos": "big"}, ["qos is big, and this cluster has no such qos"]),
    ],
)
def test_names_that_this_user_cannot_name(options: dict[str, str], expected: list[str]) -> None:
    found = [f"{one.option} {one.what}" for one in limits(options).impossible]
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


def test_a_plugin_of_the_site_may_know_other_names() -> None:
    found = answers()
    found["configuration"] = CONFIGURATION | {"JobSubmitPlugins": "lua"}
    assert limits({"partition": "nope", "account": "nope"}, found).impossible == ()


def test_what_could_not_be_read_is_said_and_not_guessed() -> None:
    found = answers()
    for query in ("qos", "nodes"):
        del found["output"][query]
    found["failed"] = {"qos": "sacctmgr: Connection refused", "nodes": "sinfo: exit code 1"}
    known = limits({"partition": "short", "account": "acc1"}, found)
    assert known.unread == (
        "limits of QOS: sacctmgr: Connection refused",
        "sizes of nodes: sinfo: exit code 1",
    )
    assert {one.what for one in known.ceilings} == {TIME, NODES, MEMORY}
    text = summary(known)
    start = "limits of test, read 0 s ago: 01:00:00 (MaxTime of the partition short); "
    assert text.startswith(start)


def test_what_a_user_sets_counts_in_place_of_what_was_read() -> None:
    options = {"partition": "short", "account": "root", "time": "2:00:00", "mem": "1G"}
    read = limits(options)
    with pytest.raises(ClusterError, match=r"asks for 02:00:00.*MaxTime of the partition short"):
        refuse_impossible(read.overridden({}, options, 0))
    own = {"time": 86400, "mem": 512 * MIB, "max_submit": 9, "max_array_size": 11}
    mine = read.overridden(own, options, 4)
    assert (mine.max_jobs, mine.room, mine.max_array_size) == (9, 5, 11)
    assert mine.caps == {"time": 86400, "mem": 512 * MIB}
    with pytest.raises(ClusterError, match=r"slurm\.mem asks for 1,024 MiB.*limits\.mem of the"):
        refuse_impossible(mine)


def test_caps_are_the_lowest_ceilings_of_time_and_memory() -> None:
    assert limits({"partition": "short", "account": "acc1"}).caps == {
        "time": 3600,
        "mem": 2000 * MIB,
    }
    assert replace(limits({}), ceilings=()).caps == {}


def test_what_is_kept_for_later_commands() -> None:
    assert site_cache.read("test") is None
    site_cache.write("test", "here", answers())
    site_cache.write("test", "there", answers(nodes=""))
    kept = site_cache.read("test")
    assert kept is not None
    assert kept["output"]["nodes"] == ""
    assert kept["addresses"] == ["there", "here"]
    assert site_cache.find("here") == kept
    assert site_cache.find("elsewhere") is None
    site_cache.write("../x", "here", answers())  # no name of a file
    assert [path.name for path in (cache_home() / "sites").iterdir()] == ["test.json"]
    (cache_home() / "sites" / "test.json").write_text(json.dumps({"time": "yesterday"}))
    assert site_cache.read("test") is None
    site_cache.write("test", "here", answers())
    assert site_cache.read("test") is not None


def test_a_user_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    site_cache.write("test", "here", answers())
    assert site_cache.read("test") is None
    assert site_cache.find("here") is None
