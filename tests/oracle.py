"""The judge of a run: joins what the simulators say they served with what the office has, and with what the phone got.

It imports nothing of ours and reads no counter of ours: the simulators' journal, the office's tables by plain SQL, the
phone's journal, the journal of a third party on the broker (the tap), and the journal of what was done to the run. A
zero counts only if the run had something to lose; else the verdict is "proved nothing".

    python tests/oracle.py --site ID --office office.db --journal sim.jsonl [--phone F] [--tap F] [--done F] [--json]

Exit: 0 all is well, 1 something is lost, doubled, wrong, out of order, unexplained or unproven.
"""

import argparse
import json
import sqlite3
import sys
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SECOND = 1_000_000
SLACK = 3 * SECOND
"""Between serving a reply and the time at which the site says it came; one machine, one clock, but a busy one."""
EDGE = SECOND * 3 // 2
"""A reply this close to a gap may belong to it: it was on the way when the gap began."""
STUCK_FOR = 34 * SECOND
"""A person trapped outside a landing for longer than this must have raised L01: 30 s, two polls, 2 s of grace."""

Line = dict[str, Any]


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
    """The office's tables of one site."""

    def __init__(self, path: Path, site: str) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self._db.row_factory = sqlite3.Row
        self.site = site

    def rows(self, sql: str, *more: object) -> list[sqlite3.Row]:
        return self._db.execute(sql, (self.site, *more)).fetchall()

    def moments(self, device: str) -> Iterator[tuple[int, dict[str, tuple[Any, int]], set[str]]]:
        """Yield (time, state of all points after it, names that moved) for each time at which `device` has samples."""
        sql = """SELECT point, at, value, q FROM v_samples JOIN
                 (SELECT epoch e, boot, MIN(t0) AS began FROM blocks WHERE site = ?1 GROUP BY epoch) ON e = epoch
                 WHERE site = ?1 AND point LIKE ?2 ORDER BY began, epoch, sequence, position"""
        state: dict[str, tuple[Any, int]] = {}
        at, moved = None, set[str]()
        for row in self.rows(sql, f"{device}/%"):
            if at is not None and row["at"] != at:
                yield at, dict(state), moved
                moved = set()
            at = row["at"]
            name = row["point"].split("/", 1)[1]
            state[name] = (row["value"], row["q"])
            moved.add(name)
        if at is not None:
            yield at, dict(state), moved


def serial_of(state: dict[str, tuple[Any, int]], moved: set[str]) -> int | None:
    """Return the serial number of the reply that these samples came from: heartbeat, or vibration and noise."""
    if "heartbeat" in state:
        value, q = state["heartbeat"]
        return value if q == 0 and "heartbeat" in moved else None
    if {"vibration", "noise"} <= state.keys() and moved & {"vibration", "noise"}:
        (high, q1), (low, q2) = state["vibration"], state["noise"]
        return high * 256 + low if q1 == q2 == 0 else None
    return None


class Account:
    """What was found. `wrong` holds sentences; an empty list is a clean run."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.figures: dict[str, Any] = {}
        self.risk: dict[str, int] = {}

    def check(self, count: int, what: str, examples: Iterable[object] = ()) -> None:
        if count:
            shown = "; ".join(str(example) for example in list(examples)[:3])
            self.wrong.append(f"{count} {what}" + (f" ({shown})" if shown else ""))


def judge_samples(journal: list[Line], office: Office, account: Account) -> None:
    """Each reply is stored once, whole and right, or lies in a gap; nothing is stored that was not served."""
    totals: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for device in sorted({line["device"] for line in journal if "n" in line}):
        replies = [line for line in journal if line.get("device") == device and "n" in line]
        sound = [line for line in replies if "fault" not in line]
        doubtful = {(line["n"]) for line in replies if "fault" in line}
        gaps = [
            (row["start"], row["end"])
            for row in office.rows('SELECT start, "end" FROM gaps WHERE site = ? AND scan_group LIKE ?', f"{device}@%")
        ]
        expected, truth = [], dict[str, Any]()
        for line in sound:
            truth = truth | line["points"]
            expected.append((line["t"], line["n"], truth))
        _match(device, expected, doubtful, gaps, office, totals, examples)
    for what in ("lost", "doubled", "invented", "wrong"):
        account.check(totals[what], f"replies {what}", examples[what])
    account.figures |= {key: totals[key] for key in ("served", "stored", "in_gaps", "lost", "doubled", "invented")}
    account.figures["wrong_values"] = totals["wrong"]
    twice = office.rows(
        "SELECT point, at, COUNT(*) c FROM v_samples WHERE site = ? GROUP BY point, at, value, q HAVING c > 1"
    )
    account.check(len(twice), "samples stored twice", (tuple(row) for row in twice))
    account.figures["samples"] = office.rows("SELECT COUNT(*) FROM v_samples WHERE site = ?")[0][0]


def _match(
    device: str,
    expected: list[tuple[int, int, dict[str, Any]]],
    doubtful: set[int],
    gaps: list[tuple[int, int]],
    office: Office,
    totals: Counter[str],
    examples: dict[str, list[str]],
) -> None:
    by_serial: dict[int, list[int]] = defaultdict(list)
    for index, (_, serial, _) in enumerate(expected):
        by_serial[serial].append(index)
    times = [t for t, _, _ in expected]
    seen: set[int] = set()
    for at, state, moved in office.moments(device):
        serial = serial_of(state, moved)
        if serial is None:
            continue
        near = [i for i in by_serial.get(serial, ()) if -SECOND // 10 <= at - times[i] <= SLACK]
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
            if name in state and (state[name][1] != 0 or not _same(state[name][0], value))
        ]
        totals["wrong"] += bool(differ)
        examples["wrong"] += differ
    totals["served"] += len(expected)
    totals["stored"] += len(seen)
    for index, (t, serial, _) in enumerate(expected):
        if index not in seen:
            explained = any(start - EDGE <= t <= end + EDGE for start, end in gaps)
            totals["in_gaps" if explained else "lost"] += 1
            if not explained:
                examples["lost"].append(f"{device} serial {serial} at {t}")


def _same(stored: Any, served: Any) -> bool:
    if isinstance(served, bool):
        return stored in (0, 1) and bool(stored) == served
    if isinstance(served, float) or isinstance(stored, float):
        return isinstance(stored, int | float) and abs(stored - served) < 1e-6
    return stored == served


def judge_record(office: Office, account: Account) -> None:
    """No hole in the sequences, nothing in quarantine or conflict, and each second vouched for or in a gap."""
    for name, sql in {
        "holes in the sequences": "SELECT * FROM v_holes WHERE site = ?",
        "conflicts": "SELECT site, stream, sequence FROM conflicts WHERE site = ?",
        "messages in quarantine": "SELECT kind, reason, detail FROM quarantine WHERE site = ?",
        "blocks missing": "SELECT * FROM missing WHERE site = ?",
    }.items():
        found = office.rows(sql)
        account.check(len(found), name, (tuple(row) for row in found))
    known: dict[str, list[tuple[int, int]]] = defaultdict(list)
    causes: Counter[str] = Counter()
    for row in office.rows('SELECT scan_group, start, until AS "end", \'\' AS cause FROM coverage WHERE site = ?1 '
                           'UNION ALL SELECT scan_group, start, "end", cause FROM gaps WHERE site = ?1'):  # fmt: skip
        known[row["scan_group"]].append((row["start"], row["end"]))
        causes[row["cause"]] += row["end"] - row["start"]
    unexplained = sum(hole for spans in known.values() for hole in _holes(sorted(spans)))
    account.check(unexplained, "us of some scan group neither vouched for nor in a gap")
    account.figures["unexplained_s"] = unexplained / SECOND
    account.figures["gap_s"] = {cause: round(us / SECOND, 1) for cause, us in causes.items() if cause}
    blocks = office.rows("SELECT COUNT(*) n, COALESCE(SUM(size), 0) size FROM blocks WHERE site = ?")[0]
    account.figures |= {"blocks": blocks["n"], "block_bytes": blocks["size"]}


def _holes(spans: list[tuple[int, int]]) -> Iterator[int]:
    reached = spans[0][0]
    for start, end in spans:
        if start > reached:
            yield start - reached
        reached = max(reached, end)


def judge_alarms(journal: list[Line], office: Office, account: Account) -> None:
    """Transitions follow one another, and a person trapped outside a landing raised L01 once, and nothing else did."""
    moves = office.rows(
        """SELECT t.* FROM transitions t
           JOIN (SELECT epoch e, MIN(at) began FROM transitions WHERE site = ?1 GROUP BY epoch) ON e = t.epoch
           WHERE site = ?1 ORDER BY began, epoch, sequence, position"""
    )
    state: dict[str, str] = {}
    for move in moves:
        before = state.get(move["key"], "A")
        account.check(
            move["source"] != before, f"broken order: {move['key']} moved from {move['source']}, was {before}"
        )
        state[move["key"]] = move["target"]
    for row in office.rows("SELECT key, state FROM alarms WHERE site = ?"):
        account.check(row["state"] != state.get(row["key"]), f"alarm {row['key']} stands as {row['state']}")
    raises = [move for move in moves if move["cause"] == "raise"]
    account.figures["alarms_raised"] = dict(Counter(move["rule"] for move in raises))
    _judge_entrapments(journal, raises, account)


def _judge_entrapments(journal: list[Line], raises: list[sqlite3.Row], account: Account) -> None:
    end = max((line["t"] for line in journal), default=0)
    released = [(line["device"], line["t"]) for line in journal if line.get("fact") == "released"]
    for line in journal:
        if line.get("fact") != "trapped" or line.get("level"):
            continue
        until = next((t for device, t in released if device == line["device"] and t > line["t"]), end)
        found = [
            move
            for move in raises
            if move["rule"] == "L01"
            and move["key"].split("/")[1] == line["device"]
            and line["t"] <= move["at"] <= until + 2 * SECOND
        ]
        if until - line["t"] > STUCK_FOR:
            account.check(len(found) != 1, f"{len(found)} L01 for the entrapment in {line['device']} at {line['t']}")
            account.risk["entrapments"] = account.risk.get("entrapments", 0) + 1
        for move in found:
            account.figures.setdefault("entrapment_found_s", []).append(round((move["at"] - line["t"]) / SECOND, 2))


def judge_pushes(phone: list[Line], done: list[Line], office: Office, account: Account) -> None:
    """Each raise of P1 to P3 reached the phone once; a repeat only with a mark, after a death or a lost answer."""
    accepted: dict[str, list[Line]] = defaultdict(list)
    for line in phone:
        account.check(line.get("signed") is False, f"push {line.get('event')} with a wrong signature")
        if line["status"] == 200:
            accepted[line["event"]].append(line)
    latencies, held = [], []
    wanted = office.rows(
        """SELECT * FROM transitions WHERE site = ? AND cause IN ('raise', 'reannunciate') AND mode = ''
           AND priority IN ('P1', 'P2', 'P3') ORDER BY at"""
    )
    for move in wanted:
        got = [line for event, found in accepted.items() if _event_of(event, move) for line in found]
        account.check(not got, f"no push for {move['occurrence']} ({move['cause']})")
        marked = sum(bool(line["body"].get("possible_repeat")) for line in got)
        account.check(len(got) - marked > 1, f"{len(got)} pushes, {marked} marked as repeats, for {move['occurrence']}")
        if got:
            delay = (min(line["t"] for line in got) - move["at"]) / 1_000
            (held if _was_cut(move["at"], done) else latencies).append(delay)
    account.figures["pushed"] = sum(map(len, accepted.values()))
    account.figures["push_repeats"] = account.figures["pushed"] - len(accepted)
    account.figures["latency_ms"] = _percentiles(latencies)
    account.figures["latency_held_ms"] = _percentiles(held)
    account.risk["alarms raised while the office was away"] = len(held)


def _event_of(event: str, move: sqlite3.Row) -> bool:
    """A push is named by the occurrence; that of a re-annunciation also by where in the alarms stream it stands."""
    if move["cause"] == "raise":
        return bool(event == move["occurrence"])
    return bool(event == f"{move['occurrence']}+{move['epoch']}-{move['sequence']}.{move['position']}")


def _was_cut(at: int, done: list[Line]) -> bool:
    """Tell whether broker or office were away at that time."""
    away = 0
    for line in done:
        if line["t"] > at:
            break
        away += {"cut": 1, "back": -1}.get(line["did"], 0)
    return away > 0


def judge_risk(tap: list[Line], done: list[Line], journal: list[Line], office: Office, account: Account) -> None:
    """What could have been lost: blocks that waited, that came again, processes that died with work in hand."""
    seen = Counter(
        line["digest"]
        for line in tap
        if not line["retained"] and line["topic"].rsplit("/", 1)[1] in {"samples", "alarms", "events"}
    )
    account.figures["resent"] = sum(count - 1 for count in seen.values())
    waited = office.rows("SELECT COUNT(*) FROM blocks WHERE site = ? AND committed - t0 > 5000000")[0][0]
    served = sorted(line["t"] for line in journal if "n" in line)
    kills = [line["t"] for line in done if line["did"].startswith("kill")]
    in_hand = sum(
        any(t - 5 * SECOND // 4 <= s <= t for s in served[max(0, bisect_left(served, t) - 40) :]) for t in kills
    )
    account.risk |= {
        "blocks that waited": waited,
        "blocks sent again": account.figures["resent"],
        "deaths with work in hand": in_hand,
    }


def _percentiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p99": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 1),
        "n": len(ordered),
    }


def judge(
    site: str, office: Path, journal: Path, phone: Path | None = None, tap: Path | None = None, done: Path | None = None
) -> Account:
    """Return the account of one run."""
    account, tables = Account(), Office(office, site)
    served, interventions = lines(journal), lines(done)
    judge_samples(served, tables, account)
    judge_record(tables, account)
    judge_alarms(served, tables, account)
    if phone is not None:
        judge_pushes(lines(phone), interventions, tables, account)
    judge_risk(lines(tap), interventions, served, tables, account)
    if not account.figures["served"] or not any(account.risk.values()):
        account.wrong.append(
            "proved nothing: " + ("nothing was served" if not account.figures["served"] else "nothing was at risk")
        )
    return account


def main() -> int:
    """Print the account; return the exit code."""
    parser = argparse.ArgumentParser(description="The judge of a run.")
    parser.add_argument("--site", required=True)
    parser.add_argument("--office", type=Path, required=True, help="the office's SQLite file")
    parser.add_argument("--journal", type=Path, required=True, help="of the simulators")
    parser.add_argument("--phone", type=Path)
    parser.add_argument("--tap", type=Path)
    parser.add_argument("--done", type=Path, help="what was done to the run: {t, did: cut|back|kill ...}")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    account = judge(given.site, given.office, given.journal, given.phone, given.tap, given.done)
    result = {"ok": not account.wrong, "wrong": account.wrong, "at_risk": account.risk, **account.figures}
    if given.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:20} {value}")
    return 1 if account.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
