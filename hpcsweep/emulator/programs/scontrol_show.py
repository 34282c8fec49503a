"""scontrol show: the layouts of 22.05.8, with the emulator's values."""

from __future__ import annotations

import os
from typing import Any

from hpcsweep.emulator import arrays, hostlist, identity, names, times
from hpcsweep.emulator.programs.squeue_fields import shared


def _print(lines: list[str], one_line: bool) -> None:
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
        "SlurmUser": f"{identity.user_name(os.getuid())}({os.getuid()})",
        "SlurmctldHost[0]": identity.host_name(),
        "SlurmdTimeout": "300 sec",
        "SLURM_CONF": answer["conf"],
        "SLURM_VERSION": names.VERSION,
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
            (
                f"NodeAddr=127.0.0.1 NodeHostName={identity.host_name()} Port=0 "
                f"Version={names.VERSION}"
            ),
            f"OS={os.uname().sysname} {os.uname().release} {os.uname().version} ",
            (
                f"RealMemory={memory} AllocMem={memory - one['free_mem_mb']} "
                f"FreeMem={one['free_mem_mb']} Sockets={cpus} Boards=1"
            ),
            (
                f"State={one['state'].upper()} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A "
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
        if one["reason"]:
            when = times.stamp(one["since"], "Unknown")
            lines.append(f"Reason={one['reason']} [{identity.user_name(0)}@{when}]")
        _print(lines, one_line)
    if not chosen:
        print(f"Node {name} not found")
    return 0 if chosen else 1


def show_job(view: dict[str, Any], one_line: bool, details: bool = False) -> None:
    """One record of `scontrol show job`."""
    uid, gid = view["uid"], view["gid"]
    started = view["started"]
    run = view["run_time"]
    paused = view["suspended"]
    before = int(paused - started) if paused else 0
    nodes = max(1, view["nodes"])
    eligible = "Unknown" if view["reason"].startswith("JobHeld") else None
    eligible = eligible or times.stamp(view["begin"] or view["submitted"], "Unknown")
    expected = started + view["time_limit"] * 60 if started and view["time_limit"] else 0
    looked = times.stamp(started or view["submitted"], "Unknown")
    exit_code = f"{view['exit_code']}:{view['exit_signal']}"
    limit = _minutes(view["time_limit"], "UNLIMITED")
    per = "MinMemoryCPU" if view["mem_per_cpu"] else "MinMemoryNode"
    lines = [
        f"JobId={view['id']} {_array_part(view)}JobName={view['name']}",
        f"UserId={view['user']}({uid}) GroupId={identity.group_name(gid)}({gid}) MCS_label=N/A",
        (
            f"Priority={view['priority']} Nice={view['nice']} "
            f"Account={view['account'] or '(null)'} QOS={view['qos']}"
        ),
        (
            f"JobState={view['state']} Reason={view['reason'].replace(' ', '_')} "
            f"Dependency={view['dependency'] or '(null)'}"
        ),
        (
            f"Requeue={int(view['requeue'])} Restarts={view['restart']} "
            f"BatchFlag={int(not view['client'])} Reboot=0 ExitCode={exit_code}"
        ),
        *(["DerivedExitCode=0:0"] if details else []),
        f"RunTime={times.elapsed_long(run)} TimeLimit={limit} TimeMin=N/A",
        f"SubmitTime={times.stamp(view['submitted'], 'Unknown')} EligibleTime={eligible}",
        f"AccrueTime={eligible}",
        (
            f"StartTime={times.stamp(started or view['begin'], 'Unknown')} "
            f"EndTime={times.stamp(view['ended'] or expected, 'Unknown')} Deadline=N/A"
        ),
        (
            f"SuspendTime={times.stamp(paused, 'None')} SecsPreSuspend={before} "
            f"LastSchedEval={looked} Scheduler=Main"
        ),
        f"Partition={view['partition']} AllocNode:Sid={view['submit_host']}:0",
        f"ReqNodeList={view['nodelist'] or '(null)'} ExcNodeList={view['exclude'] or '(null)'}",
        f"NodeList={view['node']}",
        *([f"BatchHost={view['batch_host']}"] if view["batch_host"] else []),
        (
            f"NumNodes={_nodes(view)} NumCPUs={view['cpus']} NumTasks={view['tasks_asked']} "
            f"CPUs/Task={max(1, view['cpus_per_task'])} ReqB:S:C:T=0:0:*:*"
        ),
        f"TRES=cpu={view['cpus']},{_memory(view)}node={nodes},billing={view['cpus']}",
        f"Socks/Node=* NtasksPerN:B:S:C={view['ntasks_per_node']}:0:*:* CoreSpec=*",
        *(_places(view) if details and view["places"] else []),
        (
            f"MinCPUsNode={max(1, view['cpus_per_task'])} "
            f"{per}={times.show_megabytes(view['mem_mb'])} MinTmpDiskNode=0"
        ),
        f"Features={view['constraint'] or '(null)'} DelayBoot=00:00:00",
        (f"OverSubscribe={shared(view)} Contiguous=0 Licenses=(null) Network=(null)"),
        f"Command={' '.join([view['command'] or '(null)', *view['arguments']])}",
        f"WorkDir={view['work_dir']}",
        *([f"Comment={view['comment']} "] if view["comment"] else []),
        f"StdErr={view['stderr']}",
        f"StdIn={view['stdin'] or '/dev/null'}",
        f"StdOut={view['stdout']}",
        *([f"TresPerNode=gres:{view['gres']}"] if view["gres"] else []),
        "Power=",
        "",
    ]
    _print(lines, one_line)


def _nodes(view: dict[str, Any]) -> str:
    """NumNodes; for a pending job the requested range, if there is one."""
    if view["max_nodes"] and not view["places"] and view["state"] == "PENDING":
        return f"{view['nodes']}-{view['max_nodes']}"
    return str(view["nodes"])


def _memory(view: dict[str, Any]) -> str:
    """The memory in TRES: the requested one; without a request only for a pending job."""
    if view["places"] and not view["mem_mb"]:
        return ""
    return f"mem={times.size(view['allocated_mb'])},"


def _places(view: dict[str, Any]) -> list[str]:
    """--details: the CPUs on each node; nodes with equal counts share a line."""
    alike: dict[int, list[str]] = {}
    for name, cpus in view["places"].items():
        alike.setdefault(cpus, []).append(name)
    lines = ["JOB_GRES=(null)"]
    for cpus, names_alike in alike.items():
        ids = f"0-{cpus - 1}" if cpus > 1 else "0"
        memory = view["mem_mb"] * (cpus if view["mem_per_cpu"] else 1)
        lines.append(f"  Nodes={hostlist.fold(names_alike)} CPU_IDs={ids} Mem={memory} GRES=")
    return lines


def show_step(found: dict[str, Any], one_line: bool) -> None:
    """One record of `scontrol show step`."""
    is_batch = found["step"] == "batch"
    srun = "(null):0" if is_batch else f"{identity.host_name()}:{found['pid']}"
    lines = [
        (
            f"StepId={found['job']}.{found['step']} UserId={found['uid']} "
            f"StartTime={times.stamp(found['started'], 'Unknown')} TimeLimit=UNLIMITED"
        ),
        f"State=RUNNING Partition={found['partition']} NodeList={found['nodes']}",
        (
            f"Nodes={found['node_count']} CPUs={0 if is_batch else found['cpus']} "
            f"Tasks={found['ntasks']} Name={found['name']} Network=(null)"
        ),
        "TRES=(null)" if is_batch else f"TRES=cpu={found['cpus']},mem=0,node={found['node_count']}",
        "ResvPorts=(null)",
        "CPUFreqReq=Default" + ("" if is_batch else " Dist=Cyclic"),
        f"SrunHost:Pid={srun}",
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
