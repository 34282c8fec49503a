"""scontrol show: the layouts of 22.05.8, with what the emulator knows."""

from __future__ import annotations

import os
import time
from typing import Any

from hpcsweep.emulator import arrays, hostlist, names, times, who


def _print(lines: list[str], one_line: bool) -> None:
    """One record: its lines indented but for the first, or all in one."""
    if one_line:
        print(" ".join(lines))
    else:
        print("\n   ".join(lines) + "\n")


def show_config(answer: dict[str, Any]) -> None:
    """`scontrol show config`; keys whose value is not the emulator's to say are left out."""
    config = answer["config"]
    values = {
        "AccountingStorageEnforce": "none",
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
        "OverTimeLimit": "0 min",
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
        "SlurmUser": f"{who.user_name(os.getuid())}({os.getuid()})",
        "SlurmctldHost[0]": who.host_name(),
        "SlurmdTimeout": "300 sec",
        "SLURM_CONF": answer["conf"],
        "SLURM_VERSION": names.VERSION,
        "TaskPlugin": "task/none",
        "TmpFS": "/tmp",  # noqa: S108  # Slurm's default
    }
    print(f"Configuration data as of {times.stamp(answer['now'], '')}")
    for key, value in values.items():
        print(f"{key:<23} = {value}")
    print(f"\nSlurmctld(primary) at {who.host_name()} is UP")


def show_partitions(answer: dict[str, Any], name: str, one_line: bool) -> int:
    """`scontrol show partition [NAME]`."""
    config = answer["config"]
    nodes = [one["name"] for one in answer["nodes"]]
    count, cpus = len(nodes), config["cpus"] * len(nodes)
    chosen = [one for one in config["partitions"] if name in ("", one["name"])]
    for one in chosen:
        is_default = "YES" if one is config["partitions"][0] else "NO"
        longest, usual = (
            _minutes(one["max_time"], "UNLIMITED"),
            _minutes(one["default_time"], "NONE"),
        )
        lines = [
            f"PartitionName={one['name']}",
            "AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL",
            f"AllocNodes=ALL Default={is_default} QoS=N/A",
            f"DefaultTime={usual} DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO",
            f"MaxNodes=UNLIMITED MaxTime={longest} MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED",
            f"Nodes={hostlist.fold(nodes)}",
            "PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO",
            "OverTimeLimit=NONE PreemptMode=OFF",
            f"State={one['state']} TotalCPUs={cpus} TotalNodes={count} SelectTypeParameters=NONE",
            "JobDefaults=(null)",
            "DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED",
            f"TRES=cpu={cpus},mem={config['mem_mb'] * count}M,node={count},billing={cpus}",
        ]
        _print(lines, one_line)
    if not chosen:
        print(f"Partition {name} not found")
    return 0 if chosen else 1


def _minutes(minutes: int, missing: str) -> str:
    return times.elapsed_long(minutes * 60) if minutes else missing


def show_nodes(answer: dict[str, Any], name: str, one_line: bool) -> int:
    """`scontrol show node [NAME]`."""
    config = answer["config"]
    partitions = ",".join(one["name"] for one in config["partitions"])
    booted = times.stamp(answer["booted"], "")
    chosen = [one for one in answer["nodes"] if name in ("", one["name"])]
    for one in chosen:
        cpus, memory = config["cpus"], config["mem_mb"]
        used = cpus - one["free_cpus"]
        lines = [
            f"NodeName={one['name']} Arch={os.uname().machine} CoresPerSocket=1 ",
            f"CPUAlloc={used} CPUEfctv={cpus} CPUTot={cpus} CPULoad=0.00",
            f"AvailableFeatures={','.join(config['features']) or '(null)'}",
            f"ActiveFeatures={','.join(config['features']) or '(null)'}",
            f"Gres={config['gres'] or '(null)'}",
            f"NodeAddr=127.0.0.1 NodeHostName={who.host_name()} Version={names.VERSION}",
            f"OS={os.uname().sysname} {os.uname().release} ",
            f"RealMemory={memory} AllocMem={memory - one['free_mem_mb']} Sockets={cpus} Boards=1",
            (
                f"State={one['state'].upper()} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A "
                "MCS_label=N/A"
            ),
            f"Partitions={partitions} ",
            f"BootTime={booted} SlurmdStartTime={booted}",
            f"CfgTRES=cpu={cpus},mem={memory}M,billing={cpus}",
            f"AllocTRES={f'cpu={used}' if used else ''}",
        ]
        if one["reason"]:
            lines.append(f"Reason={one['reason']}")
        _print(lines, one_line)
    if not chosen:
        print(f"Node {name} not found")
    return 0 if chosen else 1


def show_job(view: dict[str, Any], one_line: bool) -> None:
    """One record of `scontrol show job`."""
    uid, gid = view["uid"], view["gid"]
    started = view["started"]
    run = (view["ended"] or time.time()) - started if started else 0
    eligible = "Unknown" if view["reason"].startswith("JobHeld") else None
    eligible = eligible or times.stamp(view["begin"] or view["submitted"], "Unknown")
    expected = started + view["time_limit"] * 60 if started and view["time_limit"] else 0
    looked = times.stamp(started or view["submitted"], "Unknown")
    exit_code = f"{view['exit_code']}:{view['exit_signal']}"
    limit = _minutes(view["time_limit"], "UNLIMITED")
    per = "MinMemoryCPU" if view["mem_per_cpu"] else "MinMemoryNode"
    lines = [
        f"JobId={view['id']} {_array_part(view)}JobName={view['name']}",
        f"UserId={view['user']}({uid}) GroupId={who.group_name(gid)}({gid}) MCS_label=N/A",
        (
            f"Priority={view['priority']} Nice={view['nice']} "
            f"Account={view['account'] or '(null)'} QOS={view['qos']}"
        ),
        (
            f"JobState={view['state']} Reason={view['reason'].replace(' ', '_')} "
            f"Dependency={view['dependency'] or '(null)'}"
        ),
        (
            f"Requeue={int(view['requeue'])} Restarts={view['restart']} BatchFlag=1 Reboot=0 "
            f"ExitCode={exit_code}"
        ),
        f"RunTime={times.elapsed_long(run)} TimeLimit={limit} TimeMin=N/A",
        f"SubmitTime={times.stamp(view['submitted'], 'Unknown')} EligibleTime={eligible}",
        f"AccrueTime={eligible}",
        (
            f"StartTime={times.stamp(started or view['begin'], 'Unknown')} "
            f"EndTime={times.stamp(view['ended'] or expected, 'Unknown')} Deadline=N/A"
        ),
        f"SuspendTime=None SecsPreSuspend=0 LastSchedEval={looked} Scheduler=Main",
        f"Partition={view['partition']} AllocNode:Sid={view['submit_host']}:0",
        f"ReqNodeList={view['nodelist'] or '(null)'} ExcNodeList=(null)",
        f"NodeList={view['node']}",
        *([f"BatchHost={view['node']}"] if view["node"] else []),
        (
            f"NumNodes={view['nodes']} NumCPUs={view['cpus']} NumTasks={max(1, view['ntasks'])} "
            f"CPUs/Task={max(1, view['cpus_per_task'])} ReqB:S:C:T=0:0:*:*"
        ),
        f"TRES=cpu={view['cpus']},mem={view['allocated_mb']}M,node=1,billing={view['cpus']}",
        "Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=*",
        (
            f"MinCPUsNode={max(1, view['cpus_per_task'])} "
            f"{per}={times.show_megabytes(view['mem_mb'])} MinTmpDiskNode=0"
        ),
        f"Features={view['constraint'] or '(null)'} DelayBoot=00:00:00",
        "OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null)",
        f"Command={' '.join([view['command'] or '(null)', *view['arguments']])}",
        f"WorkDir={view['work_dir']}",
        *([f"Comment={view['comment']} "] if view["comment"] else []),
        f"StdErr={view['stderr']}",
        "StdIn=/dev/null",
        f"StdOut={view['stdout']}",
        *([f"TresPerNode=gres:{view['gres']}"] if view["gres"] else []),
        "Power=",
        "",
    ]
    _print(lines, one_line)


def _array_part(view: dict[str, Any]) -> str:
    if not view["array"]:
        return ""
    length = os.environ.get("SLURM_BITSTR_LEN", "")
    limit = int(length) if length.isdigit() else arrays.DEFAULT_BITSTR_LEN
    throttle = f"%{view['throttle']}" if view["throttle"] and view["tasks"] else ""
    tasks = arrays.cut_ids(view["tasks"], limit) if view["task"] is None else str(view["task"])
    shown = f" ArrayTaskThrottle={view['throttle']}" if view["throttle"] else ""
    return f"ArrayJobId={view['base']} ArrayTaskId={tasks}{throttle}{shown} "
