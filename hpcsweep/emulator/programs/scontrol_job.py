"""scontrol show job: one record, in the layout of each version."""

from __future__ import annotations

import os
from typing import Any

from hpcsweep.emulator import arrays, hostlist, identity, times
from hpcsweep.emulator.programs import options
from hpcsweep.emulator.programs.scontrol_show import minutes_text, print_record
from hpcsweep.emulator.programs.squeue_fields import shared, tres_per_node


def show_job(view: dict[str, Any], one_line: bool, details: bool = False) -> None:
    """One record of `scontrol show job`."""
    lines = [*_state_lines(view, details), *_size_lines(view, details), *_file_lines(view)]
    print_record(lines, one_line)


def _state_lines(view: dict[str, Any], details: bool) -> list[str]:
    """Whose it is, its state and its times."""
    uid, gid = view["uid"], view["gid"]
    started = view["started"]
    run = view["run_time"]
    paused = view["suspended"]
    before = int(paused - started) if paused else 0
    eligible = "Unknown" if view["reason"].startswith("JobHeld") else None
    eligible = eligible or times.stamp(view["begin"] or view["submitted"], "Unknown")
    evaluated = times.stamp(started or view["submitted"], "Unknown")
    exit_code = f"{view['exit_code']}:{view['exit_signal']}"
    limit = minutes_text(view["time_limit"], "UNLIMITED")
    return [
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
            f"EndTime={times.stamp(view['ended'] or view['limit_at'], 'Unknown')} Deadline=N/A"
        ),
        (
            f"SuspendTime={times.stamp(paused, 'None')} SecsPreSuspend={before} "
            f"LastSchedEval={evaluated} Scheduler=Main"
        ),
    ]


def _size_lines(view: dict[str, Any], details: bool) -> list[str]:
    """Where it runs, and what it asks for."""
    per = "MinMemoryCPU" if view["mem_per_cpu"] else "MinMemoryNode"
    return [
        f"Partition={view['partition']} AllocNode:Sid={view['submit_host']}:0",
        f"ReqNodeList={view['nodelist'] or '(null)'} ExcNodeList={view['exclude'] or '(null)'}",
        f"NodeList={view['node']}",
        *([f"BatchHost={view['batch_host']}"] if view["batch_host"] else []),
        (
            f"NumNodes={_nodes(view)} NumCPUs={view['cpus']} NumTasks={view['tasks_asked']} "
            f"CPUs/Task={max(1, view['cpus_per_task'])} ReqB:S:C:T=0:0:*:*"
        ),
        *_tres(view),
        f"Socks/Node=* NtasksPerN:B:S:C={view['ntasks_per_node']}:0:*:* CoreSpec=*",
        *(_places(view) if details and view["places"] else []),
        (
            f"MinCPUsNode={max(1, view['cpus_per_task'])} "
            f"{per}={times.show_megabytes(view['mem_mb'])} MinTmpDiskNode=0"
        ),
        f"Features={view['constraint'] or '(null)'} DelayBoot=00:00:00",
        _shared_line(view),
    ]


def _file_lines(view: dict[str, Any]) -> list[str]:
    """Its script, directory and files."""
    version = options.version()
    return [
        _command(view),
        *([f"SubmitLine={view['submit_line']}"] if version.since("26.05") else []),
        f"WorkDir={view['work_dir']}",
        *([f"Comment={view['comment']} "] if view["comment"] else []),
        f"StdErr={view['stderr'] if view['asked_stderr'] or not version.since('26.05') else ''}",
        f"StdIn={view['stdin'] or '/dev/null'}",
        f"StdOut={view['stdout']}",
        *([f"TresPerNode={tres_per_node(view)}"] if view["gres"] else []),
        *(["ExpeditedRequeue=Yes"] if view["expedite"] else []),
        *([] if version.since("24.11") else ["Power="]),
        *([] if version.since("26.05") else [""]),
    ]


def _nodes(view: dict[str, Any]) -> str:
    """NumNodes; for a pending job the requested range, if there is one."""
    is_waiting = not view["places"] and not view["started"] and not view["ended"]
    if view["max_nodes"] and is_waiting:
        return f"{view['nodes']}-{view['max_nodes']}"
    if is_waiting and options.version().since("24.11"):
        return f"{view['nodes']}-{view['nodes']}"
    return str(view["nodes"])


def _tres(view: dict[str, Any]) -> list[str]:
    """What the job has, or asks for while it waits; from 23.02 on both."""
    cpus, nodes = view["cpus"], max(1, view["nodes"])
    now = f"cpu={cpus},{_memory(view)}node={nodes},billing={cpus}"
    if not options.version().since("24.11"):
        return [f"TRES={now}"]
    requested = f"cpu={cpus},mem={times.size(view['allocated_mb'])},node={nodes},billing={cpus}"
    return [f"ReqTRES={requested}", f"AllocTRES={now if view['places'] else '(null)'}"]


def _shared_line(view: dict[str, Any]) -> str:
    if not options.version().since("26.05"):
        return f"OverSubscribe={shared(view)} Contiguous=0 Licenses=(null) Network=(null)"
    over = "YES" if view["oversubscribe"] else "NO"
    alone = "NODE" if view["exclusive"] else "NO"
    return (
        f"OverSubscribe={over} Exclusive={alone} Contiguous=0 Licenses=(null) "
        "LicensesAlloc=(null) Network=(null)"
    )


def _command(view: dict[str, Any]) -> str:
    """The script, before 23.11 with its arguments."""
    arguments = () if options.version().since("24.11") else view["arguments"]
    return f"Command={' '.join([view['command'] or '(null)', *arguments])}"


def _memory(view: dict[str, Any]) -> str:
    """The memory in TRES: the requested one; without a request only for a pending job."""
    if view["places"] and not view["mem_mb"]:
        return ""
    return f"mem={times.size(view['allocated_mb'])},"


def _places(view: dict[str, Any]) -> list[str]:
    """--details: the CPUs on each node; nodes with equal counts share a line."""
    alike: dict[tuple[int, str], list[str]] = {}
    for name, cpus in view["places"].items():
        numbers = view["gpus"].get(name, ())
        gres = f"gpu:{len(numbers)}(IDX:{arrays.format_ids(numbers)})" if numbers else ""
        alike.setdefault((cpus, gres), []).append(name)
    total = sum(map(len, view["gpus"].values()))
    lines = [f"JOB_GRES={f'gpu:{total}' if total else '(null)'}"]
    for (cpus, gres), names_alike in alike.items():
        ids = f"0-{cpus - 1}" if cpus > 1 else "0"
        memory = view["mem_mb"] * (cpus if view["mem_per_cpu"] else 1)
        place = f"  Nodes={hostlist.fold(names_alike)} CPU_IDs={ids} Mem={memory} GRES={gres}"
        lines.append(place)
    return lines


def _array_part(view: dict[str, Any]) -> str:
    if not view["array"]:
        return ""
    length = os.environ.get("SLURM_BITSTR_LEN", "")
    limit = int(length) if length.isdigit() else arrays.DEFAULT_BITSTR_LEN
    throttle = f"%{view['throttle']}" if view["throttle"] and view["tasks"] else ""
    tasks = arrays.cut_ids(view["tasks"], limit) if view["task"] is None else str(view["task"])
    shown = f" ArrayTaskThrottle={view['throttle']}" if view["throttle"] else ""
    return f"ArrayJobId={view['base']} ArrayTaskId={tasks}{throttle}{shown} "
