"""The oracle's half that judges events and linkage: what door controllers recorded, and what a fire alarm set free.

It is imported by `oracle.py` beside it, which is the one to be run, and imports nothing of ours.
"""

import json
from collections import Counter
from datetime import datetime
from typing import Any

if __package__:
    from .oracle_record import SECOND, Account, Line, Office, Span, absences
else:
    from oracle_record import SECOND, Account, Line, Office, Span, absences

LATE = 5 * SECOND
"""An event that reached the site this long after it happened must be marked as late."""
CLOCKS = SECOND
"""Within this of LATE either mark is right: the controller's clock shows milliseconds, and the way takes its time."""
FREE_WITHIN = 5 * SECOND
"""A fire alarm has opened the ways out after so long (domain brief, S10)."""
STANDS = 30 * SECOND
"""So long after the reset of the panel the ways out stay open, because one that is reset too early alarms again."""
ONE_BY_ONE = 2 * SECOND
"""Doors are bound so long after one another, and none before somebody on site has said that the area is normal."""
KINDS = {"mode": "doors", "hold_open": "barriers", "command": "luminaires"}
FREED = {"mode": ("free",), "hold_open": (True, 1)}
"""What a door or a barrier is told when people must get out; a luminaire gets its full level."""
FULL = 100
NAMES = {"plate": "lpr.read"}
"""What a record of a kind is called; else it is the kind's `.event`."""
PERSONAL = {"cred", "plate"}
"""What only its pseudonym may be stored of."""
NEVER = 2**62

Key = tuple[str, int, int]


def judge_events(journal: list[Line], done: list[Line], office: Office, account: Account) -> None:
    """Each event of a door is at the office once, as it was, or in a gap that was told; no card in the clear."""
    made: dict[Key, Line] = {}
    controllers: dict[str, str] = {}
    for line in journal:
        if "event" in line:
            made[line["controller"], line["run"], line["event"]["seq"]] = line
            if "device" in line:
                controllers[line["device"]] = line["controller"]
    rows = office.rows("SELECT * FROM events WHERE site = ? ORDER BY id")
    gaps = [(str(told["counter"]), told) for row in rows if row["source_id"].endswith("/audit_gap")
            for told in [json.loads(row["fields"])]]  # fmt: skip
    stored: Counter[Key] = Counter()
    for row in rows:
        device, name = row["source_id"].split("/", 1)
        if row["device_sequence"] is None or device not in controllers:
            continue
        key = _which(made, controllers[device], row)
        account.check(key is None, f"event of nobody: {row['source_id']} {row['device_sequence']}")
        if key is not None:
            stored[key] += 1
            account.check(not _says(made[key], device, name, row), f"event {key} says {row['fields']}")
    began = _beginnings(office)
    due = {key for key, line in made.items() if line["t"] >= began.get(line.get("device", ""), NEVER)}
    missing = [key for key in due if not stored[key]]
    lost = [key for key in missing if not any(_covers(gap, counter, key) for counter, gap in gaps)]
    account.check(len(lost), "events lost", sorted(lost))
    doubled = sum(count - 1 for count in stored.values())
    account.check(doubled, "events doubled")
    account.risk["events while the gateway was dead"] = sum(
        a <= line["t"] <= b for line in made.values() for a, b in absences(done)["gateway"]
    )
    cards = {str(line["event"][who]) for line in made.values() for who in PERSONAL if line["event"].get(who)}
    leaks = [row["id"] for row in rows if any(card in row["fields"] for card in cards)]
    account.check(len(leaks), "events with a card number in the clear", leaks)
    account.figures |= {
        "events": len(due), "events_stored": len(stored), "events_lost": len(lost),
        "events_doubled": doubled,
        "events_in_gaps": len(missing) - len(lost), "events_late": sum(bool(row["late"]) for row in rows),
    }  # fmt: skip


def _beginnings(office: Office) -> dict[str, int]:
    """Return from when on the site can vouch for each device; what a door tells before is told to nobody."""
    sql = "SELECT scan_group, MIN(start) AS began FROM coverage WHERE site = ? GROUP BY scan_group"
    return {row["scan_group"].split("@")[0]: row["began"] for row in office.rows(sql)}


def _which(made: dict[Key, Line], controller: str, row: Any) -> Key | None:
    """Return which event a row is: by sequence, and by its time where the controller counted anew."""
    runs = [key for key in made if (key[0], key[2]) == (controller, row["device_sequence"])]
    return min(runs, key=lambda key: abs(made[key]["t"] - (row["source"] or row["at"])), default=None)


def _says(line: Line, device: str, name: str, row: Any) -> bool:
    """Tell whether a row says what was recorded, and is marked if it came late."""
    event, fields = line["event"], json.loads(row["fields"])
    same = all(fields[field] == event[field] for field in fields.keys() & event.keys() - PERSONAL)
    person = all(bool(event.get(who)) == str(fields.get(who) or "").startswith("h1:") for who in PERSONAL)
    stamp = event.get("ts")
    kept = stamp is None or row["source"] == round(datetime.fromisoformat(stamp).timestamp() * 1000) * 1000
    marked = row["late"] or row["at"] - line["t"] < LATE + CLOCKS  # one that waited in the controller is late too
    return (
        device == line.get("device")
        and name == NAMES.get(event["kind"], f"{event['kind']}.event")
        and same
        and person
        and kept
        and bool(marked)
    )


def _covers(gap: dict[str, Any], counter: str, key: Key) -> bool:
    ends = (gap.get("from"), gap.get("to"))
    return key[0] in counter and None not in ends and ends[0] <= key[2] <= ends[1]


def judge_linkage(journal: list[Line], done: list[Line], office: Office, account: Account) -> None:
    """After a fire alarm every door that has a voice is told to be free in time; what was freed is bound again.

    A door after somebody on site has said that the area is normal, the rest after the reset of the panel.

    A door, or a gateway, that is away in the fire has its time from when it is back.
    """
    sql = "SELECT DISTINCT device FROM points WHERE site = ? AND class = 'access' AND point = device || '/mode'"
    doors = [row["device"] for row in office.rows(sql)]
    told: dict[str, list[tuple[int, dict[str, Any]]]] = {door: [] for door in doors}
    for line in journal:
        if "wrote" in line:
            told.setdefault(line["device"], []).append((line["t"], line["wrote"]))
    last = max((line["t"] for line in journal), default=0)
    account.figures["freed"] = {"doors": 0, "barriers": 0, "luminaires": 0, "slowest_s": None}
    sql = "SELECT at FROM transitions WHERE site = ? AND rule = 'A13' AND cause = 'reset' ORDER BY at"
    normal = [row["at"] for row in office.rows(sql)]
    for at, restored in _fires(journal):
        slowest, unfreed = 0, []
        said = None if restored is None else next((t for t in normal if t >= restored), None)
        for device, writes in told.items():
            reset, bound_within = (said, len(doors) * ONE_BY_ONE) if device in doors else (restored, STANDS)
            away = [*absences(done)["gateway"], *((start, end) for start, end, _ in office.gaps[device])]
            until = _with_absences(at, FREE_WITHIN, away)
            during = [(t, wrote) for t, wrote in writes if at <= t < (reset or last + 1)]
            if device in doors:  # it may stand free since an earlier fire
                during = [(at, wrote) for t, wrote in writes if t < at][-1:] + during
            freed = next((t for t, wrote in during if t <= until and _frees(wrote)), None)
            if freed is None:
                unfreed += [device] if device in doors and until <= (reset or last) else []
                continue
            account.figures["freed"][
                next(kind for point, kind in KINDS.items() if any(point in w for _, w in writes))
            ] += 1
            slowest = max(slowest, freed - at)
            account.check(any(map(_binds, (w for t, w in during if t > freed))), f"{device} was taken back in the fire")
            switched = any("on_command" in wrote for _, wrote in writes)  # it stays on: its light harms nobody
            if reset is not None and not switched:
                until = _with_absences(reset, FREE_WITHIN + bound_within, away)
                given_back = any(reset <= t <= until and not _frees(wrote) for t, wrote in writes)
                account.check(not given_back and until <= last, f"{device} was not given back after the reset")
        account.figures["freed"]["slowest_s"] = round(slowest / SECOND, 2)
        account.check(len(unfreed), "doors not freed by a fire alarm", sorted(unfreed))


def _fires(journal: list[Line]) -> list[tuple[int, int | None]]:
    """Return when each fire began, and when its panel was reset for good; None if it was not."""
    fires: list[tuple[int, int | None]] = []
    for line in journal:
        began, over = fires[-1] if fires else (0, 0)
        if line.get("fact") == "fire alarm" and over is not None:
            if fires and line["t"] < over + STANDS:
                fires[-1] = (began, None)
            else:
                fires.append((line["t"], None))
        elif line.get("fact") == "panel reset" and over is None:
            fires[-1] = (began, line["t"])
    return fires


def _with_absences(at: int, within: int, away: list[Span]) -> int:
    """Return when something is due that began at `at`; whoever is away meanwhile has the whole time afterwards."""
    until = at + within
    for start, end in sorted(away):
        if start <= until and end > at:
            until = max(until, end + within)
    return until


def _frees(wrote: dict[str, Any]) -> bool:
    return any(wrote.get(point) in values for point, values in FREED.items()) or wrote.get("command") == FULL


def _binds(wrote: dict[str, Any]) -> bool:
    """A luminaire is dimmed again by whom it pleases: what holds there is a matter of priorities."""
    return any(point in wrote and wrote[point] not in values for point, values in FREED.items())
