"""What a start costs: 5,000 rules and their state. `python -m benchmarks.rules_start [--json]`, CPU seconds.

Promise: the engine of 5,000 plans stands with its state restored within 1 s of CPU. The plans are the shipped packs on
as many devices as that takes, of every class and with every point; every rule has a state to be restored.
"""

import json
import statistics
import sys
import time
from typing import Any, Final

from edge.rules.compiling import Rules, compile_rules
from edge.rules.engine import Engine
from edge.rules.packs import load, shipped, shipped_classes, shipped_events, shipped_writables
from edge.rules.rule import DeviceSpec
from edge.rules.types import BOOL, Type
from sitekeeper.faults import Faults, Place
from sitekeeper.model.clock import SECOND
from sitekeeper.model.point import ONLINE, Point, PointType
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample, Value

PLANS: Final = 5_000
ZONES: Final = 40
REPEATS: Final = 5
_KINDS: Final[dict[str, PointType]] = {"bool": "bool", "number": "float", "enum": "enum", "text": "text"}


def site(plans: int = PLANS) -> tuple[Rules, float]:
    """Return the shipped packs on the devices of a site that has at least `plans` plans, and what compiling them cost.

    Fire panels and the gateway stand once in each zone at most, as they do.
    """
    faults = Faults()
    texts = load([(pack, Place("bench")) for pack in shipped()], faults)
    classes, events, writables = shipped_classes(), shipped_events(), shipped_writables()
    spoken = sorted({str(text.mapping["class"]) for text in texts})
    devices: list[DeviceSpec] = []
    handle = 0
    each = 0
    rules, cost = Rules(), 0.0
    while len(rules.plans) < plans:
        each = each + 10 if len(rules.plans) == 0 else round(each * 1.05 * plans / len(rules.plans)) + 1
        devices, handle = [], 0
        for cls in spoken:
            for number in range(min(each, ZONES) if cls == "fire" else 1 if cls == "gateway" else each):
                points = _points(f"{cls}-{number:04}", {**classes[cls], ONLINE: BOOL}, handle)
                handle += len(points)
                devices.append(
                    DeviceSpec(
                        id=f"{cls}-{number:04}",
                        cls=cls,
                        points=points,
                        events=events[cls],
                        writables=writables[cls],
                        zone=f"zone-{number % ZONES}",
                        link=f"link-{number % 20}",
                        via=f"link-{number % 20}:1",
                    )
                )
        begun = time.process_time()
        rules = compile_rules(texts, classes, devices, {}, faults, events=events)
        cost = time.process_time() - begun
    faults.stop_if_any()
    return rules, cost


def _points(device: str, types: dict[str, Type], first: int) -> dict[str, Point]:
    return {
        name: Point(
            handle=first + place,
            id=f"{device}/{name}",
            device=device,
            name=name,
            type=_KINDS[kind.base],
            group="",
            unit=kind.unit or "",
            members=kind.members,
        )
        for place, (name, kind) in enumerate(types.items())
    }


def _first(point: Point) -> Value:
    if point.type == "enum":
        return point.members[0]
    values: dict[PointType, Value] = {"bool": False, "float": 1.0, "text": "x"}
    return values[point.type]


def measure() -> dict[str, Any]:
    """Return medians of five, in seconds of CPU."""
    rules, compiled = site()
    points = {point.handle: point for plan in rules.plans for point in plan.device.points.values()}
    lived = Engine(rules, state={}, as_of=None, now=0)
    lived.feed([Sample(handle, 1, _first(point), GOOD) for handle, point in sorted(points.items())], now=SECOND)
    state = {key: saved for key, saved in lived.dirty().items() if saved is not None}
    starts, saves = [], []
    for _ in range(REPEATS):
        begun = time.process_time()
        engine = Engine(rules, state=state, as_of=SECOND, now=2 * SECOND)
        engine.advance(2 * SECOND + 1)
        starts.append(time.process_time() - begun)
        begun = time.process_time()
        engine.dirty()
        saves.append(time.process_time() - begun)
    return {
        "plans": len(rules.plans),
        "state MB": round(sum(map(len, state.values())) / 1e6, 2),
        "compile s": round(compiled, 2),
        "start s": round(statistics.median(starts), 2),
        "start least, most": [round(min(starts), 2), round(max(starts), 2)],
        "save s": round(statistics.median(saves), 2),
    }


def main() -> None:
    """Print the figures; with `--json` as JSON."""
    found = measure()
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:18}", value)


if __name__ == "__main__":
    main()
