"""The judge of events and linkage: content with a run made by hand, and each kind of fault put into it is found."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.store.schema import prepare
from simulators.controller import rfc3339
from tests.oracle import judge_alarms
from tests.oracle_events import judge_events, judge_linkage
from tests.oracle_record import SECOND as S
from tests.oracle_record import Account, Office
from tests.oracle_truths import NEEDED, truths

T = 1_767_225_600 * S
SITE, CONTROLLER, CARD = "tower", "405419896", "8538-1177-42"
DOORS = ("door-1", "door-2")


def recorded(seq: int) -> dict[str, Any]:
    """Return what the controller recorded as number `seq`: a read, or the door that opens, of two doors in turn."""
    kind = {"kind": "read", "granted": True, "cred": CARD} if seq % 2 else {"kind": "door", "state": "open"}
    door = (seq // 2) % 2
    event = {"seq": seq, "ts": rfc3339(T + seq * S), "door": door + 1, **kind}
    return {"t": T + seq * S, "device": DOORS[door], "controller": CONTROLLER, "run": 1, "event": event}


def fact(seconds: int, device: str, what: str) -> dict[str, Any]:
    return {"t": T + seconds * S, "device": device, "fact": what}


def wrote(seconds: float, device: str, **values: object) -> dict[str, Any]:
    return {"t": T + int(seconds * S), "device": device, "wrote": values}


class Run:
    """Eight events, all stored; a fire alarm at second 20 that frees both doors and a barrier, over at second 30.

    At second 31 somebody says that the area is normal.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "office.db"
        prepare(self.path)
        self.sql = sqlite3.connect(self.path, isolation_level=None)
        self.journal: list[dict[str, Any]] = [recorded(seq) for seq in range(1, 9)]
        for line in self.journal:
            self.store(line)
        self.journal.insert(0, {**recorded(0), "t": T - S})  # before the site could hear
        for door in DOORS:
            self.sql.execute("INSERT INTO coverage VALUES (?, ?, ?, ?)", (SITE, f"{door}@1s", T, T + 60 * S))
            self.sql.execute(
                "INSERT INTO points (site, point, device, class, type, unit, scan_group, names)"
                " VALUES (?, ?, ?, 'access', 'enum', '', '', '{}')",
                (SITE, f"{door}/mode", door),
            )
        self.done: list[dict[str, Any]] = []
        freed: list[tuple[str, dict[str, object], dict[str, object]]] = [
            *((door, {"mode": "free"}, {"mode": "controlled"}) for door in DOORS),
            ("lane-out", {"hold_open": True}, {"hold_open": False}),
        ]
        self.journal += [fact(20, "fire-panel", "fire alarm"), fact(30, "fire-panel", "panel reset")]
        for device, free, bound in freed:
            self.journal += [wrote(20.4, device, **free), wrote(31, device, **bound)]
        self.journal.append(fact(100, "fire-panel", "the end"))
        self.normal(31)

    def normal(self, seconds: int) -> None:
        """Say that the area is normal: A13 is reset on site."""
        self.move(seconds, "reset", "P1", "LA", "A", alarm="fire-panel/A13")

    def store(self, line: dict[str, Any], *, late: int = 0, **said: object) -> None:
        """Store an event as the site tells it; `said` stands in for what it says of the event."""
        event = line["event"]
        fields = {key: event[key] for key in ("granted", "state") if key in event}
        fields |= {"cred": "h1:0123456789abcdef01234567"} if "cred" in event else {}
        row = (SITE, f"{line['device']}/{event['kind']}.event", line["t"] + 2_000, json.dumps(fields | said))
        self.sql.execute(
            "INSERT INTO events (site, source_id, at, fields, device_sequence, source, late, block, position)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 1, 0)",
            (*row, event["seq"], line["t"], late),
        )

    def forget(self, seq: int) -> None:
        self.sql.execute("DELETE FROM events WHERE device_sequence = ?", (seq,))

    def tell_gap(self, first: int, last: int) -> None:
        fields = json.dumps({"counter": f"doors/{CONTROLLER}", "from": first, "to": last})
        self.sql.execute(
            "INSERT INTO events (site, source_id, at, fields, late, block, position)"
            " VALUES (?, 'door-1/audit_gap', ?, ?, 0, 1, 0)",
            (SITE, T, fields),
        )

    def move(
        self, seconds: int, cause: str, priority: str, source: str, target: str, alarm: str = "door-1/A02"
    ) -> None:
        """Let an alarm move, that of the first door's being held open if no other is named."""
        key = f"{SITE}/{alarm}"
        self.sql.execute(
            "INSERT INTO transitions (site, epoch, sequence, position, occurrence, key, rule, source, target, cause,"
            " priority, at, mono, latched, note, detail, inputs, limits, revision, ack_id, mode, volatile, committed)"
            " VALUES (?, 'e', ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', '', '{}', '{}', '', '', '', 0, 0)",
            (SITE, seconds, f"{key}@e-1", key, alarm[-3:], source, target, cause, priority, T + seconds * S),
        )

    def judge(self) -> Account:
        account, office = Account(), Office(self.path, SITE)
        judge_events(self.journal, self.done, office, account)
        judge_linkage(self.journal, self.done, office, account)
        office.close()
        return account

    def judge_alarms(self, rule: str = "A02") -> list[str]:
        account, office = Account(), Office(self.path, SITE)
        judge_alarms(self.journal, self.done, office, account, NEEDED)
        office.close()
        return [sentence for sentence in account.wrong if rule in sentence]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.sql.close()


def test_a_faultless_run_is_clean(run: Run) -> None:
    """All events are accounted for, and who was freed how fast is told."""
    account = run.judge()
    assert account.wrong == []
    assert (account.figures["events"], account.figures["events_stored"]) == (8, 8)
    assert account.figures["freed"] == {"doors": 2, "barriers": 1, "luminaires": 0, "slowest_s": 0.4}


def test_an_event_in_a_gap_that_was_told_is_not_lost(run: Run) -> None:
    """A missing event counts as lost only if no audit gap covers its number."""
    run.forget(5)
    run.tell_gap(5, 5)
    account = run.judge()
    assert account.wrong == []
    assert (account.figures["events_lost"], account.figures["events_in_gaps"]) == (0, 1)


@pytest.mark.parametrize(
    "what", ["lost", "beside the gap", "doubled", "otherwise", "open card", "of nobody", "unmarked", "other time"]
)
def test_a_fault_of_the_record_is_found(run: Run, what: str) -> None:
    """Each kind of fault makes the account unclean."""
    match what:
        case "lost":
            run.forget(5)
        case "beside the gap":
            run.forget(5)
            run.tell_gap(6, 6)
        case "doubled":
            run.store(recorded(4))
        case "otherwise":
            run.forget(3)
            run.store(recorded(3), granted=False)
        case "open card":
            run.forget(3)
            run.store(recorded(3), cred=CARD)
        case "of nobody":
            run.store({**recorded(4), "event": {**recorded(4)["event"], "seq": 99}})
        case "unmarked":
            run.sql.execute("UPDATE events SET at = at + 8000000 WHERE device_sequence = 2")
        case "other time":
            run.sql.execute("UPDATE events SET source = source + 1000 WHERE device_sequence = 2")
    assert run.judge().wrong


@pytest.mark.parametrize("missing", range(4))
def test_a_fault_of_the_linkage_is_found(run: Run, missing: int) -> None:
    """A door that is not freed in time, or not given back after the reset, is found."""
    writes = [line for line in run.journal if "wrote" in line and line["device"] in DOORS]
    run.journal.remove(writes[missing])
    assert run.judge().wrong


def test_a_door_without_a_voice_in_the_journal_must_be_freed_too(run: Run) -> None:
    """Which doors there are the office knows, not the journal, in which a quiet one does not appear."""
    run.journal = [line for line in run.journal if line.get("device") != "door-2"]
    run.sql.execute("DELETE FROM events")
    assert any("not freed" in sentence for sentence in run.judge().wrong)


def test_a_door_that_is_taken_back_in_the_fire_is_found(run: Run) -> None:
    """Between the alarm and the reset of the panel nobody binds what was set free."""
    run.journal.append(wrote(25, "door-2", mode="controlled"))
    assert run.judge().wrong == ["1 door-2 was taken back in the fire"]


def test_a_panel_that_is_reset_too_early_ends_no_fire(run: Run) -> None:
    """It alarms again within 30 s: until the last reset no door may be taken back, and then each must be."""
    run.journal += [fact(32, "fire-panel", "fire alarm"), fact(60, "fire-panel", "panel reset")]
    assert "1 door-1 was taken back in the fire" in run.judge().wrong
    for line in run.journal:
        if "wrote" in line and line["t"] == T + 31 * S:
            line["t"] += 60 * S
    run.normal(90)
    assert run.judge().wrong == []


def test_a_door_waits_for_the_word_of_somebody_on_site(run: Run) -> None:
    """Bound after the panel's reset and before that word it was taken back; where nobody says it, it stays free."""
    run.sql.execute("DELETE FROM transitions")
    assert run.judge().wrong == [f"1 {door} was taken back in the fire" for door in DOORS]
    run.normal(40)
    assert f"1 {DOORS[0]} was taken back in the fire" in run.judge().wrong
    run.sql.execute("DELETE FROM transitions")
    run.journal = [line for line in run.journal if line.get("wrote") != {"mode": "controlled"}]
    assert run.judge().wrong == []
    run.journal += [fact(70, "fire-panel", "fire alarm"), fact(80, "fire-panel", "panel reset")]
    assert not any("not freed" in sentence and "door" in sentence for sentence in run.judge().wrong), "they are free"


@pytest.mark.parametrize(("back", "clean"), [(45, True), (38, False)])
def test_who_is_away_in_the_fire_has_the_time_from_its_return(run: Run, back: int, *, clean: bool) -> None:
    """A door that was not reachable until second 42 is freed within 5 s of that; one that was there since 28 is not."""
    run.journal = [line for line in run.journal if line.get("fact") != "panel reset" and "wrote" not in line]
    run.journal += [wrote(20.4, "door-1", mode="free"), wrote(45, "door-2", mode="free")]
    run.sql.execute(
        "INSERT INTO gaps VALUES (?, 'door-2@1s', ?, ?, 'silent', 1)", (SITE, T + 15 * S, T + (back - 3) * S)
    )
    assert (run.judge().wrong == []) is clean


def test_a_gateway_that_dies_in_the_fire_has_the_time_from_its_return(run: Run) -> None:
    """What is due while it is away is due 5 s after it is back."""
    run.journal = [line for line in run.journal if line.get("device") != "door-2" or "wrote" not in line]
    run.journal += [wrote(28, "door-2", mode="free"), wrote(31, "door-2", mode="controlled")]
    assert run.judge().wrong
    run.done = [{"t": T + 19 * S, "did": "kill gateway"}, {"t": T + 24 * S, "did": "back gateway"}]
    assert run.judge().wrong == []


def test_what_doors_tell_a_dead_gateway_is_at_risk(run: Run) -> None:
    """So many events were recorded between its death and its return."""
    run.done = [{"t": T + 3 * S, "did": "kill gateway"}, {"t": T + 5 * S, "did": "back gateway"}]
    assert run.judge().risk == {"events while the gateway was dead": 3}


@pytest.mark.parametrize(("cause", "priority", "clean"), [
    ("reannunciate", "P2", True), ("reannunciate", "P3", False), ("raise", "P2", False),
])  # fmt: skip
def test_an_alarm_that_becomes_more_urgent_is_still_one(run: Run, cause: str, priority: str, *, clean: bool) -> None:
    """A door held open calls for one alarm; telling it again is right only for being more urgent than before."""
    held = {"t": T, "device": "door-1", "event": {"kind": "door", "state": "open"}}
    shut = {"t": T + 340 * S, "device": "door-1", "event": {"kind": "door", "state": "closed"}}
    run.journal = [held, shut]
    run.move(30, "raise", "P3", "A", "B")
    assert run.judge_alarms() == []
    run.move(300, cause, priority, "B", "B")
    assert (run.judge_alarms() == []) is clean


@pytest.mark.parametrize(("cleared", "clean"), [(None, True), (50, False)])
def test_an_alarm_that_still_stands_is_not_told_again(run: Run, cleared: int | None, *, clean: bool) -> None:
    """Its condition ended and came back. If it was not cleared nobody has to tell it again; else it is another one."""
    opened = {"device": "door-1", "event": {"kind": "door", "state": "open"}}
    shut = {"device": "door-1", "event": {"kind": "door", "state": "closed"}}
    times = [(0, opened), (40, shut), (48, opened), (108, shut)]
    run.journal = [{"t": T + seconds * S, **line} for seconds, line in times]
    run.move(30, "raise", "P3", "A", "B")
    if cleared is not None:
        run.move(cleared, "clear", "P3", "B", "D")
    assert (run.judge_alarms() == []) is clean


def test_what_happened_calls_for_its_alarms() -> None:
    """Facts, served values and recorded events become truths with their beginning and end."""
    opened = {"t": T + 2 * S, "device": "door-1", "event": {"kind": "door", "state": "open"}}
    shut = {"t": T + 40 * S, "device": "door-1", "event": {"kind": "door", "state": "closed"}}
    lines = [
        fact(1, "door-1", "door forced"), opened, shut, fact(50, "fire-panel", "fire alarm"),
        fact(55, "lane-in", "arm broken"), fact(60, "lane-in", "arm mended"), fact(70, "fire-panel", "panel reset"),
        {"t": T + 80 * S, "device": "lane-in", "points": {"lane.state": "opening"}},
        {"t": T + 90 * S, "device": "lane-in", "points": {"lane.state": "open"}},
    ]  # fmt: skip
    found = [(rule, device, (start - T) // S, (end - T) // S) for rule, device, start, end in truths(lines)]
    assert found == [
        ("A01", "door-1", 1, 6), ("A02", "door-1", 2, 40), ("A13", "fire-panel", 50, 70), ("F01", "fire-panel", 50, 70),
        ("B03", "lane-in", 55, 60), ("B01", "lane-in", 80, 90),
    ]  # fmt: skip


def test_a_door_that_stands_free_may_stand_open() -> None:
    """It is held open from when it should be shut: until it is set free, and again from when it is bound."""
    opened = {"t": T, "device": "door-1", "event": {"kind": "door", "state": "open"}}
    shut = {"t": T + 90 * S, "device": "door-1", "event": {"kind": "door", "state": "closed"}}
    lines = [
        opened, wrote(10, "door-1", mode="free"), fact(20, "door-1", "fire input on"),
        wrote(30, "door-1", mode="controlled"), fact(50, "door-1", "fire input off"), shut,
    ]  # fmt: skip
    found = [(rule, (start - T) // S, (end - T) // S) for rule, _, start, end in truths(lines)]
    assert found == [("A02", 0, 10), ("A02", 50, 90)]


def test_refusals_at_one_reader_are_a_burst() -> None:
    """The fifth within a minute, once until 5 quiet minutes are over; those at the other reader do not count."""

    def refused(seconds: int, way: str = "in") -> dict[str, Any]:
        event = {"kind": "read", "granted": False, "dir": way}
        return {"t": T + seconds * S, "device": "door-1", "event": event}

    slow = [refused(seconds) for seconds in range(0, 100, 20)]
    mixed = [refused(seconds, "out" if seconds % 2 else "in") for seconds in range(1000, 1008)]
    quick = [refused(seconds) for seconds in (*range(2000, 2008), *range(2200, 2206), *range(2600, 2605))]
    assert [(rule, (start - T) // S) for rule, _, start, _ in truths([*slow, *mixed, *quick])] == [
        ("A03", 2004), ("A03", 2604),
    ]  # fmt: skip


@pytest.mark.parametrize(("gap", "missed"), [(None, True), (-70, True), (-5, False), (2, False)])
def test_a_burst_that_the_site_could_not_see_as_one_is_not_due(run: Run, gap: int | None, *, missed: bool) -> None:
    """With the controller away for 3 s in the minute before the fifth refusal, some of them were told late."""
    event = {"kind": "read", "granted": False}
    run.journal = [{"t": T + at * S, "device": "door-1", "event": event} for at in (0, 2, 4, 6, 8)]
    run.journal.append(fact(100, "door-1", "the end"))
    if gap is not None:
        span = (T + gap * S, T + (gap + 3) * S)
        run.sql.execute("INSERT INTO gaps VALUES (?, 'door-1@1s', ?, ?, 'silent', 1)", (SITE, *span))
    assert bool(run.judge_alarms("A03")) is missed


def test_a_zone_is_an_alarm_of_its_own_before_the_general_one() -> None:
    """Smoke in one zone is F02 until it is gone; a zone that comes with the general alarm is none."""

    def shows(seconds: int, **points: object) -> dict[str, Any]:
        return {"t": T + seconds * S, "device": "fire-panel", "points": points}

    lines = [
        shows(1, zone3=True), shows(5, **{"fire.alarm": True}), shows(9, **{"zone3": False, "fire.alarm": False}),
        shows(20, **{"zone1": True, "fire.alarm": True}), shows(25, **{"zone1": False, "fire.alarm": False}),
    ]  # fmt: skip
    found = [(start - T, end - T) for rule, _, start, end in truths(lines) if rule == "F02"]
    assert found == [(1 * S, 9 * S)]
