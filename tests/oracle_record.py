"""The oracle's half that judges the record: what the office has of the samples, against what was served.

It is imported by `oracle.py` beside it, which is the one to be run, and imports nothing of ours.
"""

import json
import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SECOND = 1_000_000
SLACK = 3 * SECOND
"""Between serving a reply and the time at which the site says it came; one machine, one clock, but a busy one."""
ON_ITS_WAY = SECOND // 2
"""A reply served this long before a gap may belong to it: it was under way when the gap began."""
GRID = SECOND // 5
"""Coverage lies on a grid of 100 ms; both ends of an interval may be off by one place."""
UNSEALED = SECOND * 5 // 2
"""How far back a death may reach: samples wait 1 s to be sealed and 250 ms to be committed, and the vouch before them
ends at the answer before, up to one period of 1 s earlier; and the grid."""
UNKNOWN = (None, 130)
"""What a point is after a block was lost, bad and stale, until it says something new."""
DROPPED = {"dropped", "writer_behind"}
"""Causes of gaps that only a disk without room can have."""
RETURN = 20 * SECOND
"""How long a part may be gone after a `kill` when nobody wrote down when it came back."""
Line = dict[str, Any]
Span = tuple[int, int]


def lines(path: Path | None) -> list[Line]:
    """Return the objects of a journal; the last line of a killed writer may be torn and does not count."""
    if path is None or not path.exists():
        return []
    found = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return found


class Office:
    """The office's tables of one site: in an SQLite file, or in a PostgreSQL database (`postgresql://...`)."""

    def __init__(self, where: Path | str, site: str) -> None:
        self._db = copied(where) if isinstance(where, str) else sqlite3.connect(f"file:{where}?mode=ro", uri=True)
        self._db.row_factory = sqlite3.Row
        self.site = site
        self.gaps: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for row in self.rows('SELECT scan_group, start, "end", cause FROM gaps WHERE site = ? ORDER BY start'):
            self.gaps[row["scan_group"].split("@")[0]].append((row["start"], row["end"], row["cause"]))

    def close(self) -> None:
        self._db.close()

    def rows(self, sql: str, *more: object) -> list[sqlite3.Row]:
        return self._db.execute(sql, (self.site, *more)).fetchall()

    def moments(self, device: str) -> Iterator[tuple[int, dict[str, tuple[Any, int]], set[str]]]:
        """Yield (time, state of all points after it, names that moved) for each time at which `device` has samples."""
        # What was dropped is told later than what followed it, and then the present state is told once more.
        dropped = any(cause in DROPPED for _, _, cause in self.gaps[device])
        sql = f"""SELECT point, at, value, q FROM v_samples JOIN
                 (SELECT epoch e, MIN(t0) AS began FROM blocks WHERE site = ?1 GROUP BY epoch) ON e = epoch
                 WHERE site = ?1 AND point LIKE ?2 ORDER BY {"at," * dropped} began, epoch, sequence, position"""
        state: dict[str, tuple[Any, int]] = {}
        at, moved = None, set[str]()
        for row in self.rows(sql, f"{device}/%"):
            if at is not None and row["at"] != at:
                yield at, dict(state), moved
                moved = set()
            at = row["at"]
            name = row["point"].split("/", 1)[1]
            if not dropped or state.get(name) != (row["value"], row["q"]):
                moved.add(name)
            state[name] = (row["value"], row["q"])
        if at is not None:
            yield at, dict(state), moved

    def holes(self) -> list[tuple[str, str, int, int]]:
        """Return (epoch, stream, first, last) of blocks before the last one that are neither here nor told as lost."""
        told = self.rows("SELECT * FROM dropped WHERE site = ?") + self.rows("SELECT * FROM missing WHERE site = ?")
        spans: dict[tuple[str, str], list[Span]] = defaultdict(list)
        for row in told:
            spans[row["epoch"], row["stream"]].append((row["start"], row["end"]))
        for epoch, stream, sequence in self.rows("SELECT epoch, stream, sequence FROM blocks WHERE site = ?"):
            spans[epoch, stream].append((sequence, sequence))
        found = []
        for (epoch, stream), known in spans.items():
            reached = 0
            for first, last in sorted(known):
                if first > reached + 1:
                    found.append((epoch, stream, reached + 1, first - 1))
                reached = max(reached, last)
        return found

    def known(self, device: str, start: int, end: int) -> int:
        """Return how much of a time lies in none of the device's gaps."""
        reached, known = start, 0
        for begin, until, _ in self.gaps[device]:
            known += max(0, min(begin, end) - reached)
            reached = max(reached, until)
        return known + max(0, end - reached)


def copied(dsn: str) -> sqlite3.Connection:
    """Return what PostgreSQL has under the names that are asked here, so that the same questions can be put to it."""
    import psycopg  # only an office that has one needs it

    db = sqlite3.connect(":memory:")
    with psycopg.connect(dsn) as office:
        names = office.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (name,) in names.fetchall():
            if name.startswith("samples") or name == "latest":
                continue  # the views over them say more
            found = office.execute(f'SELECT * FROM "{name}"')
            columns = [column.name for column in found.description or ()]
            db.execute(f'CREATE TABLE "{name}" ({", ".join(map(json.dumps, columns))})')
            rows = found.fetchall()
            if name in {"v_samples", "v_latest"}:  # the value as text, and last as a number if it is one
                rows = [(*row[:3], row[3] if row[-1] is None else _number(row[3]), *row[4:]) for row in rows]
            db.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(columns))})', rows)
    return db


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


class Account:
    """What was found. `wrong` holds sentences; an empty list is a clean run."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.figures: dict[str, Any] = {}
        self.risk: dict[str, int] = {}
        self.stored: dict[str, list[int]] = {}
        self.unstored: list[int] = []

    def check(self, count: int, what: str, examples: Iterable[object] = ()) -> None:
        if count:
            shown = "; ".join(str(example) for example in list(examples)[:3])
            self.wrong.append(f"{int(count)} {what}" + (f" ({shown})" if shown else ""))


def absences(done: list[Line]) -> dict[str, list[Span]]:
    """Return when which part was away. A bare `cut` is of the `way`; a bare `back` ends all but the gateway's."""
    spans: dict[str, list[Span]] = defaultdict(list)
    away: dict[str, int] = {}
    for line in done:
        word, _, part = line["did"].partition(" ")
        if word in {"kill", "cut"}:
            away.setdefault(part or "way", line["t"])
        elif word == "back":
            for name in [part] if part else [name for name in away if name != "gateway"]:
                if name in away:
                    spans[name].append((away.pop(name), line["t"]))
    for part, since in away.items():
        spans[part].append((since, since + RETURN))
    return spans


def serial_of(state: dict[str, tuple[Any, int]], moved: set[str]) -> int | None:
    """Return the serial number of the reply that these samples came from.

    It is the heartbeat, or vibration and noise; on BACnet the watt-hours of a lift's meter, or what a luminaire's
    measured power is above what its light needs, in 0.1 mW.
    """
    if "heartbeat" in state:
        value, q = state["heartbeat"]
        return value if q == 0 and "heartbeat" in moved else None
    if {"vibration", "noise"} <= state.keys() and moved & {"vibration", "noise"}:
        (high, q1), (low, q2) = state["vibration"], state["noise"]
        return high * 256 + low if q1 == q2 == 0 else None
    if "energy" in state and "energy" in moved:
        value, q = state["energy"]
        return round((value - 184) * 1000) if q == 0 else None
    if {"power", "feedback"} <= state.keys() and "power" in moved:
        (power, q1), (light, q2) = state["power"], state["feedback"]
        return round((power - 0.4 - 0.18 * light) * 10_000) if q1 == q2 == 0 else None
    return None


def judge_samples(journal: list[Line], office: Office, account: Account) -> None:
    """Each reply is stored once, whole and right, or lies in a gap; nothing is stored that was not served."""
    totals: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for device in sorted({line["device"] for line in journal if "n" in line}):
        replies = [line for line in journal if line.get("device") == device and ("n" in line or "points" in line)]
        doubtful = {line["n"] for line in replies if "fault" in line and "n" in line}
        expected, truth = [], dict[str, Any]()
        for line in (line for line in replies if "fault" not in line):
            if "n" not in line:  # told, or read apart: what numbered replies say too, they do not say again
                truth = truth | {name: value for name, value in line["points"].items() if name in truth}
                continue
            truth = truth | line["points"]
            expected.append((line["t"], line["n"], truth))
        totals["served"] += len(expected)
        _match(device, expected, doubtful, office, account, totals, examples)
    for what in ("lost", "doubled", "invented", "wrong"):
        account.check(totals[what], f"replies {what}", examples[what])
    account.figures |= {key: totals[key] for key in ("served", "stored", "in_gaps", "lost", "doubled", "invented")} | {
        "wrong_values": totals["wrong"]
    }
    twice = office.rows(
        "SELECT point, at, COUNT(*) c FROM v_samples WHERE site = ? GROUP BY point, at, value, q HAVING c > 1"
    )
    account.check(len(twice), "samples stored twice", (tuple(row) for row in twice))
    account.figures["samples"] = office.rows("SELECT COUNT(*) FROM v_samples WHERE site = ?")[0][0]
    account.figures["points"] = office.rows("SELECT COUNT(*) FROM points WHERE site = ?")[0][0]
    account.figures["devices"] = len({line["device"] for line in journal if "device" in line})


def _match(
    device: str,
    expected: list[tuple[int, int, dict[str, Any]]],
    doubtful: set[int],
    office: Office,
    account: Account,
    totals: Counter[str],
    examples: dict[str, list[str]],
) -> None:
    by_serial: dict[int, list[int]] = defaultdict(list)
    for index, (_, serial, _) in enumerate(expected):
        by_serial[serial].append(index)
    seen: set[int] = set()
    for at, state, moved in office.moments(device):
        serial = serial_of(state, moved)
        if serial is None:
            continue
        near = [i for i in by_serial.get(serial, ()) if -SECOND // 10 <= at - expected[i][0] <= SLACK]
        fresh = [i for i in near if i not in seen]
        if not fresh:
            kind = "doubled" if near else "invented"
            if serial not in doubtful:
                totals[kind] += 1
                examples[kind].append(f"{device} serial {serial} at {at}")
            continue
        seen.add(fresh[0])
        differ = [
            f"{device}/{name} is {state[name][0]!r} q {state[name][1]}, served {value!r} (serial {serial})"
            for name, value in expected[fresh[0]][2].items()
            if name in state and state[name] != UNKNOWN and not _as_served(state[name], value)
        ]
        totals["wrong"] += bool(differ)
        examples["wrong"] += differ
    totals["stored"] += len(seen)
    account.stored[device] = sorted(expected[index][0] for index in seen)
    for t, serial, _ in (reply for index, reply in enumerate(expected) if index not in seen):
        explained = any(start - ON_ITS_WAY <= t <= end for start, end, _ in office.gaps[device])
        totals["in_gaps" if explained else "lost"] += 1
        account.unstored.append(t)
        if not explained:
            examples["lost"].append(f"{device} serial {serial} at {t}")


def _as_served(stored: tuple[Any, int], served: Any) -> bool:
    """Tell whether a good value is what was served; what a reply says nothing of (None) must not be good."""
    value, q = stored
    return q != 0 if served is None else q == 0 and _same(value, served)


def _same(stored: Any, served: Any) -> bool:
    if isinstance(served, bool):
        return stored in (0, 1) and bool(stored) == served
    if isinstance(served, float) or isinstance(stored, float):
        return isinstance(stored, int | float) and abs(stored - served) < 1e-6
    return stored == served


def judge_record(journal: list[Line], done: list[Line], office: Office, account: Account) -> None:
    """No hole in the sequences, nothing refused, each second vouched for or in a gap, each gap with a true cause."""
    away = absences(done)
    holes = office.holes()
    account.check(len(holes), "holes in the sequences", holes)
    if not away["outbox"]:
        lost = office.rows("SELECT * FROM missing WHERE site = ?")
        account.check(len(lost), "blocks missing", (tuple(row) for row in lost))
    for name, sql in {
        "conflicts": "SELECT site, stream, sequence FROM conflicts WHERE site = ?",
        "messages in quarantine": "SELECT kind, reason, detail FROM quarantine WHERE site = ?",
        "latest values that are not the last ones": """
            SELECT l.point, l.value, s.value FROM v_latest l JOIN (
                SELECT point, at, value, ROW_NUMBER() OVER (
                    PARTITION BY point ORDER BY began DESC, sequence DESC, position DESC) n
                FROM v_samples JOIN (SELECT epoch e, MIN(t0) began FROM blocks WHERE site = ?1 GROUP BY epoch)
                ON e = epoch WHERE site = ?1) s ON s.point = l.point AND s.n = 1
            WHERE l.site = ?1 AND (l.at, l.value) IS NOT (s.at, s.value)""",
    }.items():
        found = office.rows(sql)
        account.check(len(found), name, (tuple(row) for row in found))
    account.figures["gap_s"] = defaultdict(float)
    spans: dict[str, list[Span]] = defaultdict(list)
    for row in office.rows('SELECT scan_group, start, until AS "end", \'\' AS cause FROM coverage WHERE site = ?1 '
                           'UNION ALL SELECT scan_group, start, "end", cause FROM gaps WHERE site = ?1'):  # fmt: skip
        spans[row["scan_group"]].append((row["start"], row["end"]))
        if row["cause"]:
            account.figures["gap_s"][row["cause"]] += (row["end"] - row["start"]) / SECOND
    _judge_gaps(journal, away, spans, office, account)
    unexplained = sum(hole for known in spans.values() for hole in _holes(sorted(known)))
    account.check(unexplained, "us of some scan group neither vouched for nor in a gap")
    account.figures["unexplained_s"] = unexplained / SECOND
    account.figures["gap_s"] = {cause: round(us, 1) for cause, us in account.figures["gap_s"].items()}
    blocks = office.rows("SELECT COUNT(*) n, COALESCE(SUM(size), 0) size FROM blocks WHERE site = ?")[0]
    account.figures |= {"blocks": blocks["n"], "block_bytes": blocks["size"]}


def _holes(spans: list[Span]) -> Iterator[int]:
    reached = spans[0][0]
    for start, end in spans:
        if start > reached:
            yield start - reached
        reached = max(reached, end)


def _judge_gaps(
    journal: list[Line], away: dict[str, list[Span]], spans: dict[str, list[Span]], office: Office, account: Account
) -> None:
    """The account spans all that was served, and no gap says more than what happened: a death, or no sound answer.

    Or a disk that was full (`cut disk`), or an outbox that was damaged (`cut outbox`): what lies in such a gap, but
    for the state at its end, is not there. What was served while the gateway hung (`cut pause`) nobody heard.
    """
    served: dict[str, list[int]] = defaultdict(list)
    for line in journal:
        if "n" in line and "fault" not in line:
            served[line["device"]].append(line["t"])
    for device, times in served.items():
        own = [span for group, known in spans.items() if group.split("@")[0] == device for span in known]
        ends = (min((start for start, _ in own), default=2**62), max((end for _, end in own), default=0))
        short = ends[0] > times[0] + GRID or ends[1] < times[-1] - GRID
        account.check(short, f"device whose account does not span what it served: {device}", [ends])
        for start, end, cause in office.gaps[device]:
            if cause == "gateway_off":  # what was silent when it died was not yet written down as such
                true = start <= times[0] or any(
                    a <= end <= b + RETURN and not _within(times, start, a - UNSEALED) for a, b in away["gateway"]
                )
            elif cause in DROPPED:
                here = _within(account.stored[device], start, end - ON_ITS_WAY)
                true = any(start <= b for _, b in [*away["disk"], *away["outbox"]]) and here <= 1
            else:
                hung = [(a - ON_ITS_WAY, b + ON_ITS_WAY) for a, b in away["pause"]]
                heard = [t for t in times if not any(a <= t <= b for a, b in hung)]
                true = cause in {"silent", "link_down", "refused"} and not _within(heard, start, end - ON_ITS_WAY)
            account.check(not true, f"gap without a cause: {cause} of {device}, {start} to {end}")


def _within(times: list[int], start: int, end: int) -> int:
    """Return how many sound answers the device gave in a gap, one that was under way when it began left aside."""
    return max(0, bisect_left(times, end) - bisect_right(times, start + ON_ITS_WAY))
