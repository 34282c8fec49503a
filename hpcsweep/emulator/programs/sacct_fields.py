"""The fields of sacct: their names, widths, and which ones --long shows."""

from __future__ import annotations

from hpcsweep.emulator.versions import SlurmVersion

# In the order of --helpformat, with the width if it is not 10; negative: padded on the right.
_ALL = """
Account AdminComment:15 AllocCPUS AllocNodes AllocTRES AssocID:7 AveCPU AveCPUFreq AveDiskRead:14
AveDiskWrite:14 AvePages AveRSS AveVMSize BlockID:16 Cluster Comment:14 Constraints:19
ConsumedEnergy:14 ConsumedEnergyRaw:17 Container:19 CPUTime CPUTimeRAW DBIndex DerivedExitCode:15
Elapsed ElapsedRaw Eligible:19 End:19 ExitCode:8 Flags:19 GID:6 Group:9 JobID:-12 JobIDRaw:-12
JobName Layout:9 MaxDiskRead:12 MaxDiskReadNode:15 MaxDiskReadTask:15 MaxDiskWrite:12
MaxDiskWriteNode:16 MaxDiskWriteTask:16 MaxPages:8 MaxPagesNode:12 MaxPagesTask:14 MaxRSS
MaxRSSNode MaxRSSTask MaxVMSize MaxVMSizeNode:14 MaxVMSizeTask:14 McsLabel:12 MinCPU MinCPUNode
MinCPUTask NCPUS NNodes:8 NodeList:15 NTasks:8 Partition Priority QOS QOSRAW:6 Reason:22
ReqCPUFreq ReqCPUFreqGov:13 ReqCPUFreqMax:13 ReqCPUFreqMin:13 ReqCPUS:8 ReqMem ReqNodes:8 ReqTRES
Reservation:20 ReservationId:8 Reserved ResvCPU ResvCPURAW Start:19 State Submit:19 SubmitLine:20
Suspended SystemComment:15 SystemCPU Timelimit TimelimitRaw TotalCPU TRESUsageInAve:14
TRESUsageInMax:14 TRESUsageInMaxNode:18 TRESUsageInMaxTask:18 TRESUsageInMin:14
TRESUsageInMinNode:18 TRESUsageInMinTask:18 TRESUsageInTot:14 TRESUsageOutAve:15
TRESUsageOutMax:15 TRESUsageOutMaxNode:19 TRESUsageOutMaxTask:19 TRESUsageOutMin:15
TRESUsageOutMinNode:19 TRESUsageOutMinTask:19 TRESUsageOutTot:15 UID:6 User:9 UserCPU WCKey
WCKeyID WorkDir:20
"""
# What later versions have in place of, and beside, those of 22.05.
_GONE = ("Reserved", "ResvCPU", "ResvCPURAW")
_SINCE_24_11 = """
Extra:14 FailedNode:15 Licenses:20 Planned PlannedCPU PlannedCPURAW QOSREQ Restarts:8 SLUID:14
StdErr:20 StdIn:20 StdOut:20
"""
_SINCE_26_05 = """
Exclusive OriginalSLUID:14 OverSubscribe:13 ReqReservation:20 SegmentSize
"""
# --helpformat of 26.05 has it behind this one.
_OUT_OF_ORDER = {"reqreservation": "reservationid~"}
DEFAULT = "jobid,jobname,partition,account,alloccpus,state,exitcode"
BRIEF = "jobid,state,exitcode"
LONG = """
JobID JobIDRaw JobName Partition MaxVMSize MaxVMSizeNode MaxVMSizeTask AveVMSize MaxRSS MaxRSSNode
MaxRSSTask AveRSS MaxPages MaxPagesNode MaxPagesTask AvePages MinCPU MinCPUNode MinCPUTask AveCPU
NTasks AllocCPUS Elapsed State ExitCode AveCPUFreq ReqCPUFreqMin ReqCPUFreqMax ReqCPUFreqGov
ReqMem ConsumedEnergy MaxDiskRead MaxDiskReadNode MaxDiskReadTask AveDiskRead MaxDiskWrite
MaxDiskWriteNode MaxDiskWriteTask AveDiskWrite ReqTRES AllocTRES TRESUsageInAve TRESUsageInMax
TRESUsageInMaxNode TRESUsageInMaxTask TRESUsageInMin TRESUsageInMinNode TRESUsageInMinTask
TRESUsageInTot TRESUsageOutMax TRESUsageOutMaxNode TRESUsageOutMaxTask TRESUsageOutAve
TRESUsageOutTot
"""


def fields(version: SlurmVersion) -> dict[str, tuple[str, int]]:
    """Name and width of each field, by its name in lower case."""
    words = _ALL.split()
    if version.since("24.11"):
        words = [word for word in words if word.partition(":")[0] not in _GONE]
        words += _SINCE_24_11.split()
    if version.since("26.05"):
        words += _SINCE_26_05.split()
    pairs = [word.partition(":")[::2] for word in words]
    fields = {name.lower(): (name, int(width or 10)) for name, width in pairs}
    return {key: fields[key] for key in sorted(fields, key=lambda key: _OUT_OF_ORDER.get(key, key))}


def show(version: SlurmVersion) -> int:
    """Print the output of --helpformat."""
    names = [name for name, _ in fields(version).values()]
    for start in range(0, len(names), 4):
        print(" ".join(f"{name:<19}" for name in names[start : start + 4]))
    return 0
