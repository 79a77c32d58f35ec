"""Compares what devices served with what a centre has. Imports nothing of either product, and asks none of them.

`python -m benchmarks.duel.checker JOURNAL (--sql OFFICE.DB | --file ARRIVED)` prints one JSON object.
"""

import argparse
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from statistics import median

Key = tuple[str, str, int]
Gaps = dict[str, list[tuple[int, int]]]
NOT_SERIALS = "alarm"


def by_sql(path: Path) -> tuple[list[Key], list[int], Gaps]:
    """Return values, times of alarms and listed gaps of our office: its views, read with nothing but sqlite3."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as office:
        good = office.execute("SELECT point, value FROM v_samples WHERE q = 0 AND value IS NOT NULL")
        values = [(*point.split("/"), int(value)) for point, value in good if point.split("/")[1].startswith("t")]
        alarms = office.execute(
            "SELECT committed FROM transitions WHERE cause IN ('raise', 'reannunciate') AND rule = 'D01'"
        )
        gaps: Gaps = defaultdict(list)
        of = 'SELECT DISTINCT p.device, g.start, g."end" FROM gaps g JOIN points p USING (site, scan_group)'
        for device, start, end in office.execute(of):
            gaps[device].append((start, end))
        return [(device, tag, value) for device, tag, value in values], sorted(row[0] for row in alarms), gaps


def by_file(path: Path) -> tuple[list[Key], list[int], Gaps]:
    """Return the same of the peer's centre: a line for each value that arrived; it lists no gaps."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    values = [(line["d"], line["tag"], line["value"]) for line in lines if line["tag"] != NOT_SERIALS]
    return values, sorted(x["t"] for x in lines if x["tag"] == NOT_SERIALS and x["value"]), {}


def check(journal: Path, values: Iterable[Key], alarms: list[int], gaps: Gaps) -> dict[str, object]:
    """Return the account: every served value is stored once, listed as missing, or lost; nothing else is stored."""
    served: dict[Key, int] = {}
    raised: list[tuple[int, int]] = []
    for text in journal.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line.get("alarm") is True:
            raised.append((line["t"], line["t"] + 10_000_000))
        for tag, number in line.get("v", {}).items():
            served[line["d"], tag, number] = line["t"]
    stored = Counter(values)
    missing = [key for key in served if key not in stored]
    listed = sum(any(start <= served[key] <= end for start, end in gaps.get(key[0], ())) for key in missing)
    delays = [_delay(since, until, alarms) for since, until in raised]
    told = [delay for delay in delays if delay is not None]
    return {
        "served": len(served),
        "stored": len(served) - len(missing),
        "listed": listed,
        "lost": len(missing) - listed,
        "repeated": sum(count - 1 for key, count in stored.items() if key in served),
        "wrong": sum(key not in served for key in stored),
        "alarms": len(raised),
        "alarms never": len(delays) - len(told),
        "alarm p50 ms": round(median(told) / 1_000) if told else None,
        "alarm worst ms": round(max(told) / 1_000) if told else None,
    }


def _delay(since: int, until: int, alarms: list[int]) -> int | None:
    """Return how long after it was raised an alarm was there: the first one told before the next was raised; else
    the first one told at all after it, which a cut may have delayed.
    """
    later = [at - since for at in alarms if at >= since]
    return min((delay for delay in later if since + delay < until), default=later[0] if later else None)


def main() -> None:
    """Print the account."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("journal", type=Path)
    options.add_argument("--sql", type=Path)
    options.add_argument("--file", type=Path)
    asked = options.parse_args()
    print(json.dumps(check(asked.journal, *(by_sql(asked.sql) if asked.sql else by_file(asked.file)))))


if __name__ == "__main__":
    main()
