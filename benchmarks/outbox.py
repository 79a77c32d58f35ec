"""What durability costs: samples per second and bytes written, beside plain rows in the same SQLite.

    python -m benchmarks.outbox [FOLDER]      FOLDER on the disk to be measured; a temporary one by default

Promise: at least 100,000 durable samples a second, at most 5 bytes a sample in full blocks. Sealing, compressing and
committing are all inside the time; the baseline gets the same samples as ready-made tuples.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import baseline_rows
from edge.outbox import AsOf, Outbox
from edge.recorder import SealedBlock
from sitekeeper.block import Block, Vouch, encode
from sitekeeper.model.clock import MS, SECOND, SystemClock
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample

SAMPLES = 200_000
BLOCK = 500
ROUNDS = 5
GROUPS = 20
CLOCK = SystemClock()


def estate(count: int) -> list[Sample]:
    """Return changes as a site with lifts makes them: states, floors, counters, and some noisy numbers."""
    dice = random.Random(1)
    kinds: list[Callable[[], Any]] = [
        lambda: dice.random() < 0.5,
        lambda: dice.randrange(30),
        lambda: dice.choice(["open", "closed", "opening", "closing"]),
        lambda: round(20 + dice.gauss(0, 1), 1),
    ]
    samples, at = [], 0
    for n in range(count):
        at += 2 * MS if n % 8 == 0 else 0  # the points of one reading share their time
        handle = dice.randrange(400)
        samples.append(Sample(handle, at, kinds[handle % 4](), GOOD))
    return samples


def sealed(outbox: Outbox, samples: list[Sample], sequence: int) -> SealedBlock:
    wall = CLOCK.wall()
    block = Block(
        site="demo", epoch=outbox.epoch, stream="samples", sequence=sequence, boot="b", catalogue="0" * 32,
        trusted=True, t0=wall, mono0=samples[0].at, samples=samples,
        vouch=[Vouch(group, wall, SECOND) for group in range(GROUPS)],
    )  # fmt: skip
    return SealedBlock(
        stream="samples", sequence=sequence, payload=encode(block), count=len(samples), t0=wall, t1=wall + SECOND
    )


def ours(path: Path, samples: list[Sample], size: int, *, inline: bool) -> dict[str, float]:
    """Store `samples` in blocks of `size`; inline makes every block a commit of its own."""
    outbox = Outbox.open(path, site="demo", clock=CLOCK, inline=inline)
    until = {f"lift-{n}@1s": CLOCK.wall() for n in range(GROUPS)}
    payloads = 0
    before, start = written(), time.perf_counter()
    for sequence, first in enumerate(range(0, len(samples), size), start=1):
        block = sealed(outbox, samples[first : first + size], sequence)
        payloads += len(block.payload)
        outbox.append([block], as_of=AsOf(wall=block.t0, mono=first, boot="b"), until=until)
    outbox.flush(60)
    seconds = time.perf_counter() - start
    outbox.close(60)
    return facts(len(samples), seconds, written() - before) | {"payload bytes a sample": payloads / len(samples)}


def rows(path: Path, samples: list[Sample], batch: int) -> dict[str, float]:
    plain = [(s.handle, s.at, s.value, s.q) for s in samples]
    before, start = written(), time.perf_counter()
    baseline_rows.store(path, plain, batch)
    return facts(len(plain), time.perf_counter() - start, written() - before)


def facts(count: int, seconds: float, size: int) -> dict[str, float]:
    return {"samples/s": count / seconds, "bytes written a sample": size / count}


def alarm_latency(path: Path, samples: list[Sample], count: int = 300) -> dict[str, float]:
    """Milliseconds from `append` to durable for alarms, while samples stream in."""
    outbox = Outbox.open(path, site="demo", clock=CLOCK)
    taken = []
    for n in range(1, count + 1):
        block = sealed(outbox, samples[:BLOCK], n)
        alarm = SealedBlock(stream="alarms", sequence=n, payload=bytes(300), count=1, t0=block.t0, t1=block.t1)
        outbox.append([block])
        start = time.perf_counter()
        outbox.append([alarm]).result(10)
        taken.append((time.perf_counter() - start) * 1e3)
    outbox.close()
    taken.sort()
    return {"p50 ms": taken[count // 2], "p99 ms": taken[count * 99 // 100]}


def written() -> int:
    """Bytes that this process caused to be sent to storage; all write calls where the kernel does not count those."""
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(io["write_bytes"]) or int(io["wchar"])


def machine(folder: Path) -> dict[str, str]:
    """The disk's fsync latency, CPU model and memory, without which the rest means nothing."""
    taken = []
    descriptor = os.open(folder / "fsync", os.O_CREAT | os.O_WRONLY)
    for n in range(200):
        os.pwrite(descriptor, bytes(4096), n * 4096)
        start = time.perf_counter()
        os.fsync(descriptor)
        taken.append((time.perf_counter() - start) * 1e3)
    os.close(descriptor)
    taken.sort()
    cpu = next((r for r in Path("/proc/cpuinfo").read_text().splitlines() if r.startswith("model name")), ": unknown")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    return {
        "fsync of 4 KiB": f"p50 {taken[100]:.2f} ms, p99 {taken[198]:.2f} ms",
        "cpu": f"{cpu.partition(': ')[2]}, {os.cpu_count()} cores",
        "memory": f"{memory:.1f} GiB",
    }


def run(folder: Path) -> dict[str, Any]:
    """Run every case `ROUNDS` times, interleaved, and return facts by case as (median, lowest, highest)."""
    samples = estate(SAMPLES)
    slow = samples[: 50 * 120]
    cases: dict[str, Callable[[Path], dict[str, float]]] = {
        "outbox, blocks of 500, group commit": lambda path: ours(path, samples, BLOCK, inline=False),
        "outbox, blocks of 500, a commit each": lambda path: ours(path, samples, BLOCK, inline=True),
        "baseline, rows, a commit per 500": lambda path: rows(path, samples, BLOCK),
        "baseline, rows, a commit per 5,000": lambda path: rows(path, samples, 10 * BLOCK),
        "outbox, 50 changes a commit (50/s)": lambda path: ours(path, slow, 50, inline=True),
        "baseline, 50 rows a commit (50/s)": lambda path: rows(path, slow, 50),
        "alarm during samples": lambda path: alarm_latency(path, samples),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for turn in range(ROUNDS):
        for name, case in cases.items():
            with tempfile.TemporaryDirectory(dir=folder) as place:
                found[name].append(case(Path(place) / f"{turn}.db"))
    table = {
        name: {key: spread([one[key] for one in results]) for key in results[0]} for name, results in found.items()
    }
    first, _, *bases = list(cases)[:4]
    ratios = {
        f"{first} / {base}": spread(
            [mine["samples/s"] / plain["samples/s"] for mine, plain in zip(found[first], found[base], strict=True)]
        )
        for base in bases
    }
    return {"machine": machine(folder), "cases": table, "ratios": ratios}


def spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        result = run(Path(folder))
    for name, value in result["machine"].items():
        print(f"{name:16} {value}")
    cases = result["cases"]
    for name, measured in cases.items():
        print(name)
        for key, (middle, low, high) in measured.items():
            print(f"    {key:24} {middle:12,.2f}   ({low:,.2f} to {high:,.2f})")
    for name, (middle, low, high) in result["ratios"].items():
        print(f"{name}: {middle:.2f}x samples/s   ({low:.2f} to {high:.2f})")
    for name in [name for name in cases if name.endswith("(50/s)")]:
        print(f"{name}: {cases[name]['bytes written a sample'][0] * 50 * 86_400 / 1e9:.2f} GB written a day")


if __name__ == "__main__":
    main()
