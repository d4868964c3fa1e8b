"""What the kernel knows about a process: its CPU time, its memory, its children; and about the machine.

CPU time is read from the process's own CPU clock (`clock_getcpuclockid`): the same
`sum_exec_runtime` that `/proc/PID/schedstat` prints, in nanoseconds, but over all threads,
those that ended included, and brought up to date at the moment of reading. The tick counters
of `/proc/PID/stat` step by 10 ms, which is 50 µs a delta at one stream in four seconds.

It includes system calls and the loopback's soft interrupts that ran in the process's context:
delivering to the client is on the proxy's bill, delivering to the proxy is on the upstream's.
That is the same for every proxy.
"""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

CPUCLOCK_SCHED = 2  # of <linux/posix-timers.h>: a whole process's clock is (~pid << 3) | this


def cpu_ns(pids: list[int]) -> int:
    """CPU time used so far by these processes, in nanoseconds."""
    return sum(time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED) for pid in pids)


def family(pid: int) -> list[int]:
    """The process and everything that descends from it."""
    found = [pid]
    for parent in found:
        for task in _tasks(parent):
            found.extend(int(child) for child in _read(task / "children").split())
    return found


def memory(pids: list[int]) -> dict[str, int]:
    """RSS and PSS in bytes, summed. RSS counts a page shared by two of them twice, PSS once."""
    total = {"rss": 0, "pss": 0}
    for pid in pids:
        for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
            name, _, rest = line.partition(":")
            if name.lower() in total:
                total[name.lower()] += int(rest.split()[0]) * 1024
    return total


def stolen_ticks() -> tuple[int, int]:
    """(ticks the hypervisor gave to others, ticks in all), over all cores since boot."""
    fields = [int(field) for field in _read(Path("/proc/stat")).split("\n", 1)[0].split()[1:9]]
    return fields[7], sum(fields)


def machine() -> dict[str, str]:
    """Kernel, processor and memory, for the heading of a table."""
    models = [
        line.partition(":")[2].strip()
        for line in _read(Path("/proc/cpuinfo")).splitlines()
        if line.startswith("model name")
    ]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "kernel": platform.release(),
        "cpu": models[0] if models else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{pages / 2**30:.0f} GiB",
        "python": " ".join(sys.version.split()),
    }


def version_of(command: list[str]) -> str:
    """The first line a program prints about its version, wherever it prints it."""
    answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    lines = (answer.stdout + answer.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
