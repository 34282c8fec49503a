"""sstat: memory and processor time of running steps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hpcsweep.emulator import arrays, client, processes, times
from hpcsweep.emulator.programs import options, tabular
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "allsteps,a helpformat,e help-fields>helpformat help,h pidformat,i jobs,j: noheader,n "
    "noconvert fields>format,o: format,o: parsable,p parsable2,P usage verbose,v version,V"
)
# A field of 26.05, shown by default there.
_ALLOCATED = "AllocTRES"
# Field: heading and width.
_FIELDS = {
    name.lower(): (name, width)
    for name, width in (
        (_ALLOCATED, 10),
        ("AveCPU", 10),
        ("AveCPUFreq", 10),
        ("AveDiskRead", 12),
        ("AveDiskWrite", 12),
        ("AvePages", 10),
        ("AveRSS", 10),
        ("AveVMSize", 10),
        ("ConsumedEnergy", 14),
        ("ConsumedEnergyRaw", 17),
        ("JobID", -12),
        ("MaxDiskRead", 12),
        ("MaxDiskReadNode", 15),
        ("MaxDiskReadTask", 15),
        ("MaxDiskWrite", 12),
        ("MaxDiskWriteNode", 16),
        ("MaxDiskWriteTask", 16),
        ("MaxPages", 8),
        ("MaxPagesNode", 12),
        ("MaxPagesTask", 14),
        ("MaxRSS", 10),
        ("MaxRSSNode", 10),
        ("MaxRSSTask", 10),
        ("MaxVMSize", 10),
        ("MaxVMSizeNode", 14),
        ("MaxVMSizeTask", 14),
        ("MinCPU", 10),
        ("MinCPUNode", 10),
        ("MinCPUTask", 10),
        ("Nodelist", 20),
        ("NTasks", 8),
        ("Pids", 20),
        ("ReqCPUFreq", 10),
        ("ReqCPUFreqMin", 13),
        ("ReqCPUFreqMax", 13),
        ("ReqCPUFreqGov", 13),
        ("TRESUsageInAve", 14),
        ("TRESUsageInMax", 14),
        ("TRESUsageInMaxNode", 18),
        ("TRESUsageInMaxTask", 18),
        ("TRESUsageInMin", 14),
        ("TRESUsageInMinNode", 18),
        ("TRESUsageInMinTask", 18),
        ("TRESUsageInTot", 14),
        ("TRESUsageOutAve", 15),
        ("TRESUsageOutMax", 15),
        ("TRESUsageOutMaxNode", 19),
        ("TRESUsageOutMaxTask", 19),
        ("TRESUsageOutMin", 15),
        ("TRESUsageOutMinNode", 19),
        ("TRESUsageOutMinTask", 19),
        ("TRESUsageOutTot", 15),
    )
}
_DEFAULT = (
    "jobid,maxvmsize,maxvmsizenode,maxvmsizetask,avevmsize,maxrss,maxrssnode,maxrsstask,averss,"
    "maxpages,maxpagesnode,maxpagestask,avepages,mincpu,mincpunode,mincputask,avecpu,ntasks,"
    "avecpufreq,reqcpufreqmin,reqcpufreqmax,reqcpufreqgov,consumedenergy,maxdiskread,"
    "maxdiskreadnode,maxdiskreadtask,avediskread,maxdiskwrite,maxdiskwritenode,maxdiskwritetask,"
    "avediskwrite,tresusageinave,tresusageinmax,tresusageinmaxnode,tresusageinmaxtask,"
    "tresusageinmin,tresusageinminnode,tresusageinmintask,tresusageintot,tresusageoutave,"
    "tresusageoutmax,tresusageoutmaxnode,tresusageoutmaxtask,tresusageoutmin,tresusageoutminnode,"
    "tresusageoutmintask,tresusageouttot"
)
_TICKS = os.sysconf("SC_CLK_TCK")


def main(state_dir: Path, argv: list[str]) -> int:
    """Print a row per step: `JOB` selects the steps of srun, `JOB.batch` the batch step."""
    pairs, operands = options.Getopt("sstat", TABLE, hint=False).read(argv)
    given = dict(pairs)
    if options.print_information("sstat", "", TABLE, given):
        return 0
    if "helpformat" in given:
        names = [name for name, _ in _fields().values()]
        for start in range(0, len(names), 4):
            print(" ".join(f"{name:<19}" for name in names[start : start + 4]))
        return 0
    jobs = [word for text in (given.get("jobs", ""), *operands) for word in text.split(",") if word]
    if not jobs:
        options.fail("sstat", "You didn't give me any jobs to stat.")
    default = _DEFAULT
    if options.version().since("26.05"):
        default = default.replace("jobid,", f"jobid,{_ALLOCATED},")
    columns = [_column(word) for word in given.get("format", default).split(",") if word]
    rows, problems = [], []
    for text in jobs:
        some, is_known = _rows(state_dir, text, "allsteps" in given)
        rows += some
        if not is_known:
            job = f"JobId={text}" if options.version().since("26.05") else f"job {text}"
            problems.append(f"couldn't get steps for {job}")
        elif not some:
            problems.append(f"No steps running for job {text}")
    table = [[row.get(key, "") for key, _, _ in columns] for row in rows]
    tabular.show([(heading, width) for _, heading, width in columns], table, given)
    for problem in problems:
        options.print_error("sstat", problem)
    return 0


def _fields() -> dict[str, tuple[str, int]]:
    """The fields of this version."""
    left_out = "" if options.version().since("26.05") else _ALLOCATED.lower()
    return {name: field for name, field in _FIELDS.items() if name != left_out}


def _column(word: str) -> tuple[str, str, int]:
    name, _, width = word.partition("%")
    if name.lower() not in _fields():
        options.fail("sstat", f'Invalid field requested: "{name}"')
    heading, usual = _FIELDS[name.lower()]
    return name.lower(), heading, int(width) if width else usual


def _rows(state_dir: Path, text: str, is_all: bool) -> tuple[list[dict[str, str]], bool]:
    name, _, step = text.partition(".")
    selector = arrays.parse_selector(name)
    if selector is None:
        options.to_stderr(f"sstat: fatal: Bad job/step specified: {text}")
        raise SystemExit(1)
    try:
        answer = client.ask(state_dir, {"do": "steps", "ids": [selector.job]})
    except ClusterUnavailable as error:
        options.fail("sstat", str(error))
    steps = [
        facts
        for facts in answer["steps"]
        if selector.tasks is None or facts["task"] in selector.tasks
    ]
    if step:
        steps = [facts for facts in steps if facts["step"] == step]
    elif not is_all:
        steps = [facts for facts in steps if facts["step"] != "batch"]
    return [_row(facts) for facts in steps], not answer["missing"]


def _row(step: dict[str, Any]) -> dict[str, str]:
    """The row of a step; the maxima are the current values of its processes."""
    process = processes.find(step["pid"])
    members = processes.below(process) if process else []
    if process and step["step"] == "batch":
        members.append(process)
    rss = max((processes.resident(member.pid) for member in members), default=0)
    ticks = max((processes.cpu_ticks(member.pid) for member in members), default=0)
    node = step["nodes"].partition(",")[0]
    row = {name: "" if name.startswith("tres") else "0" for name in _FIELDS} | {
        "jobid": f"{step['job']}.{step['step']}",
        "ntasks": str(step["ntasks"]),
        "nodelist": step["nodes"],
        "pids": ",".join(str(member.pid) for member in members),
    }
    row |= dict.fromkeys(("maxrss", "averss"), f"{rss >> 10}K")
    row |= dict.fromkeys(("mincpu", "avecpu"), times.elapsed_long(ticks / _TICKS))
    row |= {name: node for name in _FIELDS if name.startswith("m") and name.endswith("node")}
    return row
