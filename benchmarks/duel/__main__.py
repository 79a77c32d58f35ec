"""`python -m benchmarks.duel [CASE...] [--quick]`: both sides through all cases, one after the other, and one table."""

import argparse
import asyncio
import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.duel.cases import CASES, play
from benchmarks.duel.sides import PEER, SIDES

OUT = Path("build/duel.json")
COLUMNS = ("asked", "served", "stored", "listed", "lost", "repeated", "wrong", "alarms never", "alarm p50 ms",
           "alarm worst ms", "cpu %", "memory MB")  # fmt: skip


def main() -> None:
    """Run the cases and print the table; the same goes to build/duel.json."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.duel", description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", metavar="CASE", help=", ".join(CASES))
    options.add_argument("--quick", action="store_true", help="short runs, for finding one's mistakes only")
    asked = options.parse_args()
    if not PEER.exists():
        options.error(f"{PEER} is not there; `make duel` installs it")
    rows: list[dict[str, Any]] = []
    for name in asked.names or CASES:
        for side in SIDES:
            print(f"... {CASES[name].title}: {side.name}", file=sys.stderr, flush=True)
            rows.append(
                {"case": CASES[name].title, "side": side.name}
                | asyncio.run(play(CASES[name], side(), quick=asked.quick))
            )
    facts = machine.describe() | {"date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}", "quick": asked.quick}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print("\n".join(f"{name:16} {fact}" for name, fact in facts.items()))
    print(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| Case | | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---:|" * len(COLUMNS)]
    for row in rows:
        cells = ("-" if row[name] is None else f"{row[name]:,}" for name in COLUMNS)
        lines.append(f"| {row['case']} | {row['side']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
