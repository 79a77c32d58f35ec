"""Bytes and time of a sample in full blocks of 500, beside a table of rows. `python -m benchmarks.blocks [--json]`.

Two estates of 50 lifts, each read once a second: slow-changing (doors, floors, counters, as recorded by exception) and
noisy (a vibration, a noise level and a temperature that never rest). Every block vouches for all 50 scan groups.
"""

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from benchmarks.baseline_row_table import row_bytes
from sitekeeper.block import Block, Vouch, decode, encode
from sitekeeper.model.clock import MS, SECOND
from sitekeeper.model.sample import Sample, Value

PER_BLOCK: Final = 500
BLOCKS: Final = 40
LIFTS: Final = 50
T0: Final = 1_767_225_600 * SECOND


def slow(random_: random.Random, second: int, lift: int) -> Iterator[tuple[int, Value]]:
    """Yield what changes on a lift that makes a trip now and then: (point, value)."""
    yield 13, (second + lift * 977) % 65_536  # the heartbeat, as every lift of the demo has one
    phase = (second + lift * 7) % 45
    if phase == 0:
        yield from ((0, "running"), (1, random_.choice(["up", "down"])), (2, 1.6), (3, random_.randint(0, 60)))
    elif phase < 12:
        yield 4, (lift + second) % 30
    elif phase == 12:
        yield from ((0, "stopped"), (1, "none"), (2, 0.0), (5, True), (6, "opening"), (7, second // 45))
    elif phase in (14, 20, 22):
        yield 6, {14: "open", 20: "closing", 22: "closed"}[phase]


def noisy(random_: random.Random, second: int, lift: int) -> Iterator[tuple[int, Value]]:
    """Yield what changes where analogue values never rest."""
    yield 13, (second + lift * 977) % 65_536
    yield 8, random_.randint(0, 40)
    yield 9, random_.randint(38, 61)
    if random_.random() < 0.3:
        yield 10, round(24 + random_.gauss(0, 0.4), 1)


def samples(kind: Callable[[random.Random, int, int], Iterator[tuple[int, Value]]]) -> list[Sample]:
    """Return enough samples of an estate; each lift answers at its own moment of the second, with jitter."""
    random_ = random.Random(2)
    found: list[Sample] = []
    second = 0
    while len(found) < PER_BLOCK * BLOCKS:
        for lift in range(LIFTS):
            at = second * SECOND + lift * 20 * MS + random_.randint(1_500, 4_500)
            found += [Sample(lift * 14 + point, at, value, 0) for point, value in kind(random_, second, lift)]
        second += 1
    return found[: PER_BLOCK * BLOCKS]


def blocks(found: list[Sample]) -> list[Block]:
    """Return the samples in full blocks with vouches for all groups."""
    made = []
    for n in range(BLOCKS):
        part = found[n * PER_BLOCK : (n + 1) * PER_BLOCK]
        mono = part[-1].at - part[-1].at % (100 * MS)
        vouch = [Vouch(group, T0 + mono - (group % 10) * 100 * MS, SECOND) for group in range(LIFTS)]
        head: dict[str, Any] = {"site": "harbour-east", "epoch": "7f3a9c21", "boot": "0c2e4f5a", "catalogue": "c" * 32}
        made.append(
            Block(
                **head,
                stream="samples",
                sequence=n + 1,
                trusted=True,
                t0=T0 + mono,
                mono0=mono,
                vouch=vouch,
                samples=part,
            )
        )
    return made


def per_sample(work: Callable[[], object]) -> float:
    """Return the median of 5 runs, in microseconds a sample."""
    runs = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        runs.append((time.perf_counter() - start) * 1e6 / (PER_BLOCK * BLOCKS))
    return statistics.median(runs)


def figures() -> dict[str, float]:
    """Return everything measured, by name."""
    result = {}
    for name, kind in (("slow", slow), ("noisy", noisy)):
        found = samples(kind)
        made = blocks(found)
        encoded = [encode(block) for block in made]
        result[f"{name}_block_bytes"] = sum(map(len, encoded)) / len(found)
        result[f"{name}_row_bytes"] = row_bytes([(s.handle, T0 + s.at, s.value, s.q) for s in found])
        result[f"{name}_encode_us"] = per_sample(lambda made=made: [encode(block) for block in made])  # type: ignore[misc]
        result[f"{name}_decode_us"] = per_sample(lambda all_=encoded: [decode(data) for data in all_])  # type: ignore[misc]
    return {key: round(value, 3) for key, value in result.items()}


def main() -> None:
    """Print the table, or JSON."""
    found = figures()
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    print(f"{'':8}{'block':>10}{'rows':>10}{'encode':>12}{'decode':>12}   (bytes a sample; us a sample)")
    for name in ("slow", "noisy"):
        columns = [found[f"{name}_{key}"] for key in ("block_bytes", "row_bytes", "encode_us", "decode_us")]
        print(f"{name:8}{columns[0]:>10.2f}{columns[1]:>10.2f}{columns[2]:>12.3f}{columns[3]:>12.3f}")


if __name__ == "__main__":
    main()
