"""What a figure needs beside it: the machine, and what a process uses. `spread` makes one figure of several runs."""

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def fsync_ms(folder: Path, times: int = 200) -> tuple[float, float]:
    """Return p50 and p99 of writing and syncing 4 KiB, in milliseconds."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for n in range(times):
            os.pwrite(file.fileno(), bytes(4096), n * 4096)
            start = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - start) * 1e3)
    return percentile(taken, 50), percentile(taken, 99)


def describe(folder: Path | None = None) -> dict[str, Any]:
    """Return the facts without which the rest means nothing."""
    p50, p99 = fsync_ms(folder or Path(tempfile.gettempdir()))
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]) / 2**20
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": f"{cpu}, {os.cpu_count()} cores, {platform.machine()}",
        "memory": f"{memory:.1f} GiB",
        "fsync of 4 KiB": f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}",
        "load": load(),
    }


def load() -> str:
    """Return the load averages over 1, 5 and 15 minutes: how noisy it was."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its threads, user and system.

    From the scheduler's own count in nanoseconds; /proc/<pid>/stat holds the same, rounded to ticks of 10 ms.
    """
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
        return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9
    except (FileNotFoundError, ProcessLookupError):  # a thread ended meanwhile, or the kernel keeps no such count
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (10**6)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS"))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return (median, lowest, highest)."""
    return statistics.median(values), min(values), max(values)
