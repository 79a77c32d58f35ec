"""What deciding costs: changes a second into 1,000 rules, each feeding three. `python -m benchmarks.rules [--json]`.

Promise: at least 100,000 changes a second on one core, and a cost that does not grow with the rules that a change does
not touch; of a record, from its blocks to what is decided anew, at least 20,000 a second. The baseline
(`baseline_rules.py`) calls every rule after every change and gets far fewer changes, because it would not finish
otherwise; figures are per change.
"""

import json
import os
import platform
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.baseline_rules import Change, run
from edge.backtest.record import Record
from edge.backtest.run import run as backtest
from edge.rules.compiling import Rules, compile_rules
from edge.rules.engine import Engine
from edge.rules.packs import rules_of
from edge.rules.rule import DeviceSpec
from edge.rules.types import Type
from sitekeeper.block import Block, decode, encode
from sitekeeper.catalogue import Catalogue, CataloguePoint
from sitekeeper.faults import Faults
from sitekeeper.located_yaml import parse_document
from sitekeeper.model.clock import MS
from sitekeeper.model.point import Point
from sitekeeper.model.sample import Sample

PACK: Final = """
- id: R1
  class: car
  name: {en: stuck, zh-Hant: 停, zh-Hans: 停}
  when: speed < 0.1 and not level and closed
  on_delay: 30s
  priority: P2
- id: R2
  class: car
  name: {en: fast, zh-Hant: 快, zh-Hans: 快}
  when: speed > 1.8 and closed and not level
  priority: P3
- id: R3
  class: car
  name: {en: open, zh-Hant: 開, zh-Hans: 开}
  when: held(not closed and not level, 2s) or speed > 3
  priority: P1
"""
TYPES: Final = {"speed": Type("number", "m/s"), "level": Type("bool"), "closed": Type("bool")}
REPEATS: Final = 5
CHANGES: Final = 100_000
BASELINE_CHANGES: Final = 300
WINDOWS: Final = {
    "mean": "mean(speed, 1min) > 1",
    "rate": "rate(speed, 1min) > 1",
    "baseline": "speed < 0.8 * baseline(speed, by=speed, step=1, learn=closed, settle=1s, least=20)",
}
"""Conditions over a number that changes ten times a second, so that a window holds 600 values."""
WINDOW_CHANGES: Final = 5_000


def compiled(cars: int, pack: str = PACK) -> Rules:
    """Return the rules of a pack for each of `cars` devices."""
    faults = Faults()
    document = parse_document(pack.encode(), "pack.yaml", faults)
    assert document is not None
    devices = [
        DeviceSpec(
            id=f"car-{car:05}",
            cls="car",
            points={
                name: Point(handle=car * 3 + place, id=f"car-{car:05}/{name}", device=f"car-{car:05}", name=name,
                            type="float" if name == "speed" else "bool", group="", unit=type_.unit or "")
                for place, (name, type_) in enumerate(TYPES.items())
            },
        )
        for car in range(cars)
    ]  # fmt: skip
    rules = compile_rules(rules_of(document, faults), {"car": TYPES}, devices, {}, faults)
    faults.stop_if_any()
    return rules


def changes(cars: int, count: int) -> list[Change]:
    """Return changes of cars that start, run, pass landings and open doors: every one is a change."""
    random_ = random.Random(2)
    state = [[0.0, True, True] for _ in range(cars)]
    made: list[Change] = []
    for number in range(count):
        car, place = random_.randrange(cars), random_.choice((0, 0, 0, 1, 2))
        if place == 0:
            state[car][0] = round(random_.choice((0.0, 0.5, 1.0, 1.5, 1.6, 1.9)) + number % 7 / 100, 2)
        else:
            state[car][place] = not state[car][place]
        made.append((f"car-{car:05}", tuple(TYPES)[place], number * MS, state[car][place]))
    return made


def rate(rules: Rules, made: list[Change]) -> tuple[float, int]:
    """Return (seconds per change, verdicts) of feeding all changes, ten to a call, as answers bring them."""
    place = {name: number for number, name in enumerate(TYPES)}
    fed = [Sample(int(car[4:]) * 3 + place[point], at, value, 0) for car, point, at, value in made]  # type: ignore[arg-type]
    engine = Engine(rules, state={}, as_of=None, now=0)
    start = [Sample(plan, 0, value, 0) for plan in range(len(rules.plans)) for value in (True,) if plan % 3]
    engine.feed([*start, *(Sample(plan, 0, 0.0, 0) for plan in range(0, len(rules.plans), 3))])
    verdicts = 0
    begun = time.perf_counter()
    for at in range(0, len(fed), 10):
        verdicts += len(engine.feed(fed[at : at + 10]))
        if at % 500 == 0:
            engine.dirty()  # the state goes with every block of 500 changes
    return (time.perf_counter() - begun) / len(fed), verdicts


def sealed(rules: Rules, made: list[Change]) -> tuple[list[bytes], Catalogue]:
    """Return the changes as blocks of a record, 500 to a block, and the catalogue that they name."""
    points = sorted({p.handle: p for plan in rules.plans for p in plan.device.points.values()}.items())
    known = Catalogue(site="s", points=tuple(CataloguePoint(p.id, p.device, p.type) for _, p in points))
    place = {name: number for number, name in enumerate(TYPES)}
    fed = [Sample(int(car[4:]) * 3 + place[point], at, value, 0) for car, point, at, value in made]  # type: ignore[arg-type]
    blocks = []
    for number, first in enumerate(range(0, len(fed), 500), 1):
        part = fed[first : first + 500]
        blocks.append(
            encode(
                Block(
                    site="s", epoch="e", stream="samples", sequence=number, boot="b", catalogue="c", trusted=True,
                    t0=part[-1].at, mono0=part[-1].at, samples=part,
                )
            )
        )  # fmt: skip
    return blocks, known


def backtest_rate(rules: Rules, blocks: list[bytes], known: Catalogue) -> float:
    """Return the seconds that one recorded change costs, from the bytes of its block to what is decided about it."""
    record = Record(lambda _: known, {p.id: p for plan in rules.plans for p in plan.device.points.values()})
    begun = time.perf_counter()
    decided = backtest(record.pieces(map(decode, blocks)), rules)
    return (time.perf_counter() - begun) / decided.records


def window_cost(when: str) -> float:
    """Return the microseconds that one change of the number costs a rule that looks back over it."""
    pack = "- {id: R1, class: car, name: {en: w, zh-Hant: w, zh-Hans: w}, priority: P3, when: '" + when + "'}"
    engine = Engine(compiled(1, pack), state={}, as_of=None, now=0)
    engine.feed([Sample(2, 0, True, 0)])
    fed = [Sample(0, n * 100 * MS, n % 37 / 8, 0) for n in range(WINDOW_CHANGES)]
    begun = time.perf_counter()
    for sample in fed:
        engine.feed([sample])
    return (time.perf_counter() - begun) / WINDOW_CHANGES * 1e6


def measure() -> dict[str, Any]:
    """Return all figures: medians of five with the spread."""
    few = changes(334, CHANGES)
    result: dict[str, Any] = {"machine": platform.machine(), "cpu": _cpu(), "python": platform.python_version()}
    for name, cars in (("1k rules", 334), ("3k rules", 1_000), ("10k rules", 3_334)):
        rules = compiled(cars)
        runs = [rate(rules, few) for _ in range(REPEATS)]
        result[name] = _figures([seconds for seconds, _ in runs]) | {"verdicts": runs[0][1]}
    devices = [f"car-{car:05}" for car in range(334)]
    base: list[float] = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        run(devices, few[:BASELINE_CHANGES])
        base.append((time.perf_counter() - begun) / BASELINE_CHANGES)
    result["baseline 1k rules"] = _figures(base)
    rules = compiled(334)
    record = sealed(rules, few)
    again = [backtest_rate(rules, *record) for _ in range(REPEATS)]
    result["backtest"] = _figures(again)
    result["backtest over deciding"] = round(result["1k rules"]["changes/s"] / result["backtest"]["changes/s"], 2)
    for name, when in WINDOWS.items():
        result[f"{name}, us a change"] = round(statistics.median(window_cost(when) for _ in range(REPEATS)), 1)
    result["times baseline"] = round(statistics.median(base) / (1 / result["1k rules"]["changes/s"]), 1)
    result["10k over 1k rules"] = round(result["1k rules"]["changes/s"] / result["10k rules"]["changes/s"], 2)
    return result


def _figures(seconds: list[float]) -> dict[str, Any]:
    rates = sorted(1 / each for each in seconds)
    return {"changes/s": round(statistics.median(rates)), "least": round(rates[0]), "most": round(rates[-1])}


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{name}, {os.cpu_count()} cores"


def main() -> None:
    """Print the figures; with `--json` as JSON."""
    result = measure()
    if "--json" in sys.argv:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:18}", ", ".join(f"{k} {v:,}" for k, v in value.items()) if isinstance(value, dict) else value)


if __name__ == "__main__":
    main()
