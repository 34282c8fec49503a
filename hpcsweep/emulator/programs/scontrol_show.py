"""scontrol show: the layouts of 22.05.8, with the emulator's values."""

from __future__ import annotations

import os
from typing import Any

from hpcsweep.emulator import hostlist, identity, times
from hpcsweep.emulator.programs import options


def print_record(lines: list[str], one_line: bool) -> None:
    """Print one record: all lines after the first indented, or everything in one line."""
    if one_line:
        print(" ".join(lines))
    else:
        print("\n   ".join(lines) + "\n")


def show_config(answer: dict[str, Any]) -> int:
    """`scontrol show config`, without keys that the emulator has no value for."""
    config = answer["config"]
    values = {
        "AccountingStorageEnforce": _enforced(config),
        "AccountingStorageHost": "localhost",
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AuthType": "auth/munge",
        "BatchStartTimeout": "10 sec",
        "BOOT_TIME": times.stamp(answer["booted"], "Unknown"),
        "ClusterName": config["cluster_name"],
        "DefMemPerNode": "UNLIMITED",
        "EnforcePartLimits": "NO",
        "FirstJobId": str(config["first_job_id"]),
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobFileAppend": "0",
        "JobRequeue": "1",
        "KillWait": f"{config['kill_wait_s']:.0f} sec",
        "MaxArraySize": str(config["max_array_size"]),
        "MaxJobCount": str(config["max_job_count"]),
        "MaxJobId": "67043328",
        "MaxMemPerNode": "UNLIMITED",
        "MaxStepCount": "40000",
        "MaxTasksPerNode": "512",
        "MinJobAge": f"{config['min_job_age_s']:.0f} sec",
        "NEXT_JOB_ID": str(answer["next_id"]),
        "OverTimeLimit": f"{config['over_time_limit']} min",
        "PreemptMode": "OFF",
        "PreemptType": "preempt/none",
        "PriorityType": "priority/basic",
        "PrivateData": "none",
        "ProctrackType": "proctrack/linuxproc",
        "ReturnToService": "2",
        "SchedulerParameters": "(null)",
        "SchedulerType": "sched/builtin",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CORE",
        "SlurmUser": f"{identity.user_name(os.getuid())}({os.getuid()})",
        "SlurmctldHost[0]": identity.host_name(),
        "SlurmdTimeout": "300 sec",
        "SLURM_CONF": answer["conf"],
        "SLURM_VERSION": options.version().release,
        "TaskPlugin": "task/none",
        "TmpFS": "/tmp",  # noqa: S108  # Slurm's default
    }
    print(f"Configuration data as of {times.stamp(answer['now'], '')}")
    for key, value in values.items():
        print(f"{key:<23} = {value}")
    print(f"\nSlurmctld(primary) at {identity.host_name()} is UP")
    return 0


def _enforced(config: dict[str, Any]) -> str:
    """What of the accounting is enforced: that of which anything is configured."""
    limited = config["max_submit_jobs"] or config["max_jobs"] or config["qos"]
    words = [
        *(["associations"] if limited or config["accounts"] else []),
        *(["limits"] if limited else []),
        *(["qos"] if config["qos"] else []),
    ]
    return ",".join(words) or "none"


def show_partitions(answer: dict[str, Any], name: str, one_line: bool) -> int:
    """`scontrol show partition [NAME]`."""
    config = answer["config"]
    nodes = [node["name"] for node in answer["nodes"]]
    count, cpus = len(nodes), config["cpus"] * len(nodes)
    chosen = [partition for partition in config["partitions"] if name in ("", partition["name"])]
    for partition in chosen:
        grace, tier = round(partition["grace_s"]), partition["priority_tier"]
        is_default = "YES" if partition is config["partitions"][0] else "NO"
        longest, usual = (
            minutes_text(partition["max_time"], "UNLIMITED"),
            minutes_text(partition["default_time"], "NONE"),
        )
        lines = [
            f"PartitionName={partition['name']}",
            "AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL",
            f"AllocNodes=ALL Default={is_default} QoS=N/A",
            f"DefaultTime={usual} DisableRootJobs=NO ExclusiveUser=NO GraceTime={grace} Hidden=NO",
            f"MaxNodes=UNLIMITED MaxTime={longest} MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED",
            f"Nodes={hostlist.fold(nodes)}",
            f"PriorityJobFactor=1 PriorityTier={tier} RootOnly=NO ReqResv=NO OverSubscribe=NO",
            f"OverTimeLimit=NONE PreemptMode={partition['preempt_mode']}",
            (
                f"State={partition['state']} TotalCPUs={cpus} TotalNodes={count} "
                "SelectTypeParameters=NONE"
            ),
            "JobDefaults=(null)",
            "DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED",
            f"TRES=cpu={cpus},mem={config['mem_mb'] * count}M,node={count},billing={cpus}",
        ]
        print_record(lines, one_line)
    if not chosen:
        print(f"Partition {name} not found")
    return 0 if chosen else 1


def minutes_text(minutes: int, missing: str) -> str:
    """A time limit in minutes as Slurm shows it; `missing` for 0."""
    return times.elapsed_long(minutes * 60) if minutes else missing


def show_nodes(answer: dict[str, Any], name: str, one_line: bool) -> int:
    """`scontrol show node [NAME]`."""
    config = answer["config"]
    partitions = ",".join(partition["name"] for partition in config["partitions"])
    booted = times.stamp(answer["booted"], "")
    chosen = [node for node in answer["nodes"] if name in ("", node["name"])]
    for node in chosen:
        cpus, memory = config["cpus"], config["mem_mb"]
        used = cpus - node["free_cpus"]
        lines = [
            f"NodeName={node['name']} Arch={os.uname().machine} CoresPerSocket=1 ",
            f"CPUAlloc={used} CPUEfctv={cpus} CPUTot={cpus} CPULoad=0.00",
            f"AvailableFeatures={','.join(config['features']) or '(null)'}",
            f"ActiveFeatures={','.join(config['features']) or '(null)'}",
            f"Gres={config['gres'] or '(null)'}",
            (
                f"NodeAddr=127.0.0.1 NodeHostName={identity.host_name()} Port=0 "
                f"Version={options.version().release}"
            ),
            f"OS={os.uname().sysname} {os.uname().release} {os.uname().version} ",
            (
                f"RealMemory={memory} AllocMem={memory - node['free_mem_mb']} "
                f"FreeMem={node['free_mem_mb']} Sockets={cpus} Boards=1"
            ),
            (
                f"State={node['state'].upper()} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A "
                "MCS_label=N/A"
            ),
            f"Partitions={partitions} ",
            f"BootTime={booted} SlurmdStartTime={booted}",
            f"LastBusyTime={booted}",
            f"CfgTRES=cpu={cpus},mem={memory}M,billing={cpus}",
            f"AllocTRES={f'cpu={used}' if used else ''}",
            "CapWatts=n/a",
            "CurrentWatts=0 AveWatts=0",
            "ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s",
        ]
        if node["reason"]:
            when = times.stamp(node["since"], "Unknown")
            lines.append(f"Reason={node['reason']} [{identity.user_name(0)}@{when}]")
        print_record(lines, one_line)
    if not chosen:
        print(f"Node {name} not found")
    return 0 if chosen else 1


def show_step(step: dict[str, Any], one_line: bool) -> None:
    """One record of `scontrol show step`."""
    is_batch = step["step"] == "batch"
    srun = "(null):0" if is_batch else f"{identity.host_name()}:{step['pid']}"
    lines = [
        (
            f"StepId={step['job']}.{step['step']} UserId={step['uid']} "
            f"StartTime={times.stamp(step['started'], 'Unknown')} TimeLimit=UNLIMITED"
        ),
        f"State=RUNNING Partition={step['partition']} NodeList={step['nodes']}",
        (
            f"Nodes={step['node_count']} CPUs={0 if is_batch else step['cpus']} "
            f"Tasks={step['ntasks']} Name={step['name']} Network=(null)"
        ),
        "TRES=(null)" if is_batch else f"TRES=cpu={step['cpus']},mem=0,node={step['node_count']}",
        "ResvPorts=(null)",
        "CPUFreqReq=Default" + ("" if is_batch else " Dist=Cyclic"),
        f"SrunHost:Pid={srun}",
    ]
    print_record(lines, one_line)
