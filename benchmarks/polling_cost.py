"""What polling costs, the whole gateway beside a bare poller. `python -m benchmarks.polling_cost [--quick] [--json]`.

50 devices of 100 registers, each a port of its own, all served by one process for each poller. The gateway runs its
whole flow: changes, 250 rule instances, blocks in a durable outbox, mosquitto, and an office that commits them to
SQLite. The bare poller (`baseline_poller.py`) reads the same registers, keeps them as JSON and publishes. Both run at
the same time, so that both suffer the same neighbours; the figure is the ratio of their CPU time in the same window.
"""

import asyncio
import json
import sys
from typing import Any

from benchmarks import machine
from benchmarks.rig import MOVING, Estate, Rig, rig

BESIDE = ("broker", "office")


async def compare(
    estate: Estate, period: float, rivals: dict[str, str], windows: int, seconds: float
) -> dict[str, Any]:
    """Return CPU seconds per 1,000 points and ratios of the gateway to each rival (name: what it keeps)."""
    async with rig() as made:
        await made.start_broker()
        made.write_site(estate, await made.start_field("field", estate))
        await made.start_office()
        await made.start_gateway()
        for name, commit in rivals.items():
            ports = await made.start_field(f"field of {name}", estate)
            await made.start_baseline(name, ports, estate, period, commit)
        await asyncio.sleep(6)  # connections, first readings, the first receipts
        rows = [await _window(made, [*rivals], seconds) for _ in range(windows)]
        result = _figures(rows, [*rivals], estate, period, seconds)
        result["memory MB"] = {name: round(machine.memory_mb(made.pid(name)), 1) for name in ("gateway", *rivals)}
        result["arrived"] = await _arrived(made)
    return result


async def _window(made: Rig, rivals: list[str], seconds: float) -> dict[str, Any]:
    fields = ["field", *(f"field of {name}" for name in rivals)]
    for name in fields:
        await made.tell(name, counts=1)
    names = ["gateway", *rivals, *BESIDE, "field"]
    before = made.cpu(*names)
    await asyncio.sleep(seconds)
    after = made.cpu(*names)
    row: dict[str, Any] = {name: after[name] - before[name] for name in names}
    row["readings"] = {name: await made.tell(name, counts=1) for name in fields}
    return row


def _figures(
    rows: list[dict[str, Any]], rivals: list[str], estate: Estate, period: float, seconds: float
) -> dict[str, Any]:
    result: dict[str, Any] = {"cpu s per 1,000 points": {}, "ratio to": {}, "polls kept": {}}
    fields = {
        "gateway": "field",
        **{name: f"field of {name}" for name in rivals},
        **dict.fromkeys((*BESIDE, "field"), "field"),
    }
    cost: dict[str, list[float]] = {name: [] for name in fields}
    for row in rows:
        read = {name: sum(count for count, _ in counts) for name, counts in row["readings"].items()}
        for name, field in fields.items():
            cost[name].append(row[name] / (max(1, read[field]) * estate.registers / 1_000))
    result["cpu s per 1,000 points"] = {name: _round(machine.spread(values)) for name, values in cost.items()}
    for name in rivals:
        ratios = [mine / theirs for mine, theirs in zip(cost["gateway"], cost[name], strict=True)]
        result["ratio to"][name] = _round(machine.spread(ratios))
    for name in ("gateway", *rivals):
        kept = [sum(c for c, _ in row["readings"][fields[name]]) * period / (estate.devices * seconds) for row in rows]
        result["polls kept"][name] = _round(machine.spread(kept))
    result["cpu % of a core"] = {
        name: round(100 * sum(row[name] for row in rows) / (len(rows) * seconds), 2) for name in cost
    }
    return result


async def _arrived(made: Rig) -> dict[str, Any]:
    """Stop the gateway in order and compare what one moving register served with what the office has."""
    await made.stage.stop("gateway")
    served = await made.tell("field", total=1)
    await asyncio.sleep(1)
    sql = "SELECT count(*) FROM samples s JOIN points p ON p.id = s.point WHERE p.point LIKE '%/m20' AND s.q = 0"
    return {"readings served": served, "samples of m20 at the office": made.office(sql)}


def _round(values: tuple[float, float, float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.3g}") for value in values)


def run(*, quick: bool = False) -> dict[str, Any]:
    """Run the three cases and return their figures."""
    windows, seconds = (2, 3.0) if quick else (5, 6.0)
    kept = {"poller, a commit a reading": "reading", "poller, a commit a period": "period"}
    cases = {
        "1 s, 10 % changing": (Estate(moving=MOVING), 1.0, kept | {"bare pymodbus": "none"}),
        "1 s, unchanged": (Estate(moving=()), 1.0, kept | {"bare pymodbus": "none"}),
        "100 ms, 10 % changing": (Estate(moving=MOVING, scan="100ms"), 0.1, kept),
    }
    return {name: asyncio.run(compare(*case, windows, seconds)) for name, case in cases.items()}


def main() -> None:
    """Print the figures."""
    found = run(quick="--quick" in sys.argv)
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    for name, facts in found.items():
        print(name)
        for key, values in facts.items():
            print(f"    {key}")
            for what, value in values.items():
                print(f"        {what:32} {value}")


if __name__ == "__main__":
    main()
