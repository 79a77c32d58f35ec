"""The judge itself: on a small run made by hand it is content, and each kind of fault put into that run is found.

The run: one lift, read once a second for 24 s. Its alarm button is held from second 3 to second 15 (L03, due after 3 s,
raised while the office was away). The gateway dies at 16.5 s with reply 16 in hand and is back at 17.5 s.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.store.schema import prepare
from tests import oracle

S = oracle.SECOND
T = 1_767_225_600 * S
SITE, LIFT, GROUP = "tower", "lift-1", "lift-1@1s"
LAST, LOST = 24, (16, 17)
POINTS = ("heartbeat", "floor", "passenger_alarm", "car_status", "door_closed")
KEY = f"{SITE}/{LIFT}/L03"
OCCURRENCE = f"{KEY}@e1-1"
RAISED = T + 6 * S + 100_000

Lines = dict[str, list[dict[str, Any]]]


def values(n: int) -> dict[str, object]:
    """Return what the lift truly says in reply `n`."""
    return {"heartbeat": n, "floor": n // 4, "passenger_alarm": 3 <= n < 15, "car_status": "stopped", "door_closed": 1}


def journals() -> Lines:
    """Return what the simulator, the telephone and the tap wrote down, and what was done."""
    served, before = [], dict[str, object]()
    for n in range(1, LAST + 1):
        now = values(n) | {"door_closed": True}
        points = {name: value for name, value in now.items() if name not in before or before[name] != value}
        served.append({"t": T + n * S, "device": LIFT, "n": n, "points": points})
        before = now
    heard = [("samples", n) for n in stored()] + [("alarms", 1), ("alarms", 2), ("alarms", 2)]
    return {
        "journal": served,
        "phone": [{"t": RAISED + S, "event": OCCURRENCE, "status": 200, "signed": True, "body": {}}],
        "tap": [
            {"t": T, "topic": f"sitekeeper/1/{SITE}/up/{stream}", "digest": f"{stream}-{n}", "retained": False}
            for stream, n in heard
        ],
        "done": [
            {"t": T + 5 * S, "did": "kill office"},
            {"t": T + 7 * S, "did": "back office"},
            {"t": T + 33 * S // 2, "did": "kill gateway"},
            {"t": T + 35 * S // 2, "did": "back gateway"},
        ],
    }


def stored() -> list[int]:
    """Return the replies that the office has."""
    return [n for n in range(1, LAST + 1) if n not in LOST]


class Run:
    """The hand-made run: `sql` is the office's file, `lines` become the journals when it is judged."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        self.path = folder / "office.db"
        self.path.write_bytes(template.read_bytes())
        self.sql = sqlite3.connect(self.path, isolation_level=None)
        self.lines = journals()

    def judge(self, **more: Any) -> oracle.Account:
        files = {}
        for name, lines in self.lines.items():
            files[name] = self.folder / f"{name}.jsonl"
            files[name].write_text("".join(json.dumps(line) + "\n" for line in lines))
        return oracle.judge(SITE, self.path, **files, **more)


def fill(sql: sqlite3.Connection) -> None:
    """Put into an empty central store what a faultless office would have of the run."""
    for number, name in enumerate(POINTS, 1):
        sql.execute(
            "INSERT INTO points VALUES (?, ?, ?, ?, 'lift', '', '', ?, '{}')",
            (number, SITE, f"{LIFT}/{name}", LIFT, GROUP),
        )
    last: dict[str, object] = {}
    for sequence, n in enumerate(stored(), 1):
        at = T + n * S + 2_000
        number = block(sql, "samples", sequence, at + S // 2, f"samples-{n}")
        last = {} if n == max(LOST) + 1 else last  # a new process records everything anew
        changed = {name: value for name, value in values(n).items() if name not in last or last[name] != value}
        last = values(n)
        for position, (name, value) in enumerate(changed.items()):
            row = (POINTS.index(name) + 1, at, value, 0, None)
            sql.execute("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, number, position))
            latest = "INSERT OR REPLACE INTO latest VALUES (?, ?, ?, ?, ?, 'e1', ?, ?, 0)"
            sql.execute(latest, (*row, sequence, position))
    first, end = T + S, T + LAST * S
    sql.execute("INSERT INTO coverage VALUES (?, ?, ?, ?)", (SITE, GROUP, first, T + 15 * S))
    sql.execute(
        "INSERT INTO gaps VALUES (?, ?, ?, ?, 'gateway_off', 1)", (SITE, GROUP, T + 15 * S, T + 18 * S + S // 10)
    )
    sql.execute("INSERT INTO coverage VALUES (?, ?, ?, ?)", (SITE, GROUP, T + 18 * S + S // 10, end))
    for sequence, at, source, target, cause in ((1, RAISED, "A", "B", "raise"), (2, T + 23 * S, "B", "LU", "clear")):
        block(sql, "alarms", sequence, at, f"alarms-{sequence}")
        move(sql, OCCURRENCE, sequence, at, source, target, cause)
    sql.execute(
        "INSERT INTO alarms (key, site, device, rule, occurrence, state, priority, latched, raised, changed, acked_by,"
        " mode, epoch, sequence, position) VALUES (?, ?, ?, 'L03', ?, 'LU', 'P1', 1, ?, ?, '', '', 'e1', 2, 0)",
        (KEY, SITE, LIFT, OCCURRENCE, RAISED, T + 23 * S),
    )


def block(sql: sqlite3.Connection, stream: str, sequence: int, t0: int, digest: str) -> int:
    cursor = sql.execute(
        "INSERT INTO blocks (site, epoch, stream, sequence, boot, catalogue, trusted, t0, mono0, records, size, digest,"
        " committed) VALUES (?, 'e1', ?, ?, 'b', 'c', 1, ?, 0, 1, 100, ?, ?)",
        (SITE, stream, sequence, t0, digest, t0 + S // 10),
    )
    return int(cursor.lastrowid or 0)


def move(
    sql: sqlite3.Connection, occurrence: str, sequence: int, at: int, source: str, target: str, cause: str
) -> None:
    key = occurrence.split("@")[0]
    rule = key.split("/")[2]
    sql.execute(
        "INSERT INTO transitions (site, epoch, sequence, position, occurrence, key, rule, source, target, cause,"
        " priority, at, mono, latched, note, detail, inputs, limits, revision, ack_id, mode, volatile, committed)"
        " VALUES (?, 'e1', ?, 0, ?, ?, ?, ?, ?, ?, 'P1', ?, 0, 1, '', '', '{}', '{}', '', '', '', 0, ?)",
        (SITE, sequence, occurrence, key, rule, source, target, cause, at, at),
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("oracle") / "office.db"
    prepare(path)
    sql = sqlite3.connect(path, isolation_level=None)
    sql.execute("BEGIN")
    fill(sql)
    sql.execute("COMMIT")
    sql.close()
    return path


@pytest.fixture
def run(tmp_path: Path, template: Path) -> Iterator[Run]:
    made = Run(tmp_path, template)
    yield made
    made.sql.close()


def test_a_faultless_run_is_clean_and_had_something_to_lose(run: Run) -> None:
    """All 24 replies are accounted for, two of them in the gap of a death, and what was at risk is told."""
    account = run.judge()
    assert account.wrong == []
    expected = {"served": 24, "stored": 22, "in_gaps": 2, "lost": 0, "doubled": 0, "invented": 0, "wrong_values": 0}
    assert expected.items() <= account.figures.items()
    assert account.figures["alarms_raised"] == {"L03": 1}
    assert account.risk == {
        "events while the gateway was dead": 0,
        "alarms raised while the office was away": 1,
        "pushes without an answer": 0,
        "blocks that waited": 0,
        "blocks sent again": 1,
        "deaths with work in hand": 1,
    }


def raise_of(rule: str) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        device = "gateway" if rule == "GW01" else LIFT
        move(run.sql, f"{SITE}/{device}/{rule}@e1-3", 3, T + 24 * S, "A", "B", "raise")

    return change


SQL_FAULTS = {
    "1 replies lost": "DELETE FROM samples WHERE point = 1 AND value = 8",
    "1 replies doubled": "INSERT INTO samples SELECT 1, at + 1000, 7, 0, NULL, block, 9 FROM samples "
    "WHERE point = 1 AND value = 8",
    "1 replies invented": "INSERT INTO samples SELECT 1, at + 1000, 777, 0, NULL, block, 9 FROM samples "
    "WHERE point = 1 AND value = 8",
    "1 samples stored twice": "INSERT INTO samples SELECT point, at, value, q, source, block, 9 FROM samples "
    "WHERE point = 2 AND value = 1",
    "replies wrong (lift-1/floor is 9": "UPDATE samples SET value = 9 WHERE point = 2 AND value = 2",
    "replies wrong (lift-1/floor is None q 68": "UPDATE samples SET value = NULL, q = 68 WHERE point = 2 AND value = 2",
    "1 holes in the sequences": "DELETE FROM blocks WHERE stream = 'samples' AND sequence = 8",
    "1 holes in the sequences (('e1', 'samples', 1, 1))": "DELETE FROM blocks "
    "WHERE stream = 'samples' AND sequence = 1",
    "1 conflicts": "INSERT INTO conflicts (site, epoch, stream, sequence, kept, other, payload, seen) "
    f"VALUES ('{SITE}', 'e1', 'samples', 1, 'a', 'b', x'00', 1)",
    "1 messages in quarantine": "INSERT INTO quarantine (site, kind, digest, payload, reason, detail, seen) "
    f"VALUES ('{SITE}', 'samples', 'd', x'00', 'undecodable', '', 1)",
    "1 blocks missing": f"INSERT INTO missing VALUES ('{SITE}', 'e1', 'alarms', 3, 4, 1)",
    "1 latest values that are not the last ones": "UPDATE latest SET value = 3 WHERE point = 1",
    "us of some scan group neither vouched for nor in a gap": "UPDATE coverage SET until = until - 500000 "
    "WHERE start = (SELECT min(start) FROM coverage)",
    "device whose account does not span what it served": "UPDATE coverage SET until = until - 500000 "
    "WHERE start = (SELECT max(start) FROM coverage)",
    "gap without a cause: silent": f"INSERT INTO gaps VALUES ('{SITE}', '{GROUP}', {T + 8 * S}, "
    f"{T + 12 * S}, 'silent', 1)",
    "gap without a cause: gateway_off": f"UPDATE gaps SET start = {T + 9 * S}",
    "gap without a cause: clock": "UPDATE gaps SET cause = 'clock'",
    "1 transitions committed out of order": "UPDATE transitions SET id = 99 WHERE sequence = 1",
    f"broken order: {KEY} moved from D, was B": "UPDATE transitions SET source = 'D' WHERE sequence = 2",
    f"alarm {KEY} stands as B": "UPDATE alarms SET state = 'B'",
    "0 L03 for lift-1": "DELETE FROM transitions",
    "2 L03 for lift-1": "UPDATE transitions SET cause = 'raise', at = at - 10000000 WHERE sequence = 2",
    "no push for tower/lift-1/L03@e1-2": "UPDATE transitions SET occurrence = 'tower/lift-1/L03@e1-2'",
    "1 blocks published and not in the office": "UPDATE blocks SET digest = 'other' WHERE digest = 'alarms-2'",
}  # fmt: skip


@pytest.mark.parametrize(("found", "sql"), SQL_FAULTS.items(), ids=SQL_FAULTS.keys())
def test_a_fault_of_the_office_is_found(run: Run, found: str, sql: str) -> None:
    """Each way in which the office can have too little, too much or something else is named."""
    run.sql.execute(sql)
    assert any(found in sentence for sentence in run.judge().wrong), run.judge().wrong


def push(seconds: float, **more: Any) -> dict[str, Any]:
    return {"t": RAISED + int(seconds * S), "event": OCCURRENCE, "status": 200, "signed": True, "body": {}} | more


def fact(second: int, what: str, **more: object) -> dict[str, Any]:
    return {"t": T + second * S, "device": LIFT, "fact": what} | more


MARKED = {"body": {"possible_repeat": True}}
OFFICE_DIED = {"t": RAISED + 2 * S, "did": "kill office"}
OFFICE_BACK = {"t": RAISED + 3 * S, "did": "back office"}

LINE_FAULTS: dict[str, Callable[[Run], None]] = {
    "proved nothing: nothing was served": lambda run: run.lines["journal"].clear(),
    "no push for tower/lift-1/L03@e1-1": lambda run: run.lines["phone"].clear(),
    "no push for": lambda run: run.lines["phone"][0].update(status=500),
    "with a wrong signature": lambda run: run.lines["phone"][0].update(signed=False),
    "push tower/lift-1/L09@e1-7 of nothing in the record": lambda run: run.lines["phone"].append(
        push(2, event="tower/lift-1/L09@e1-7")
    ),
    "without a mark": lambda run: (
        run.lines["phone"].append(push(4)),
        run.lines["done"].extend([OFFICE_DIED, OFFICE_BACK]),
    ),  # type: ignore[dict-item, func-returns-value]
    "after no death": lambda run: run.lines["phone"].append(push(4, **MARKED)),
    "after no death ": lambda run: (  # two repeats for one death are one too many
        run.lines["phone"].extend([push(4, **MARKED), push(5, **MARKED)]),
        run.lines["done"].extend([OFFICE_DIED, OFFICE_BACK]),
    ),  # type: ignore[dict-item, func-returns-value]
    "alarm without a reason: tower/lift-1/L01": raise_of("L01"),
    "alarm without a reason: tower/gateway/GW01": raise_of("GW01"),
    "0 GW01 for gateway": lambda run: run.lines["done"].extend(
        [{"t": T + 30 * S, "did": "kill gateway"}, {"t": T + 130 * S, "did": "back gateway"}]
    ),
    "0 L01 for lift-1": lambda run: run.lines["journal"].extend([fact(1, "trapped", level=False), fact(40, "x")]),
    "0 L04 for lift-1": lambda run: run.lines["journal"].extend([fact(1, "stuck", people=0), fact(26, "x")]),
}  # fmt: skip


@pytest.mark.parametrize(("found", "change"), LINE_FAULTS.items(), ids=LINE_FAULTS.keys())
def test_a_fault_that_the_journals_show_is_found(run: Run, found: str, change: Callable[[Run], None]) -> None:
    """Pushes that are missing, forged, repeated or of nothing, and alarms that are missing or without a reason."""
    change(run)
    assert any(found.strip() in sentence for sentence in run.judge().wrong), run.judge().wrong


def test_one_marked_repeat_after_a_death_is_as_promised(run: Run) -> None:
    """The office died after the telephone had the push: one repeat, marked, is no fault."""
    run.lines["phone"].append(push(4, **MARKED))
    run.lines["done"] += [OFFICE_DIED, OFFICE_BACK]
    account = run.judge()
    assert account.wrong == []
    assert account.figures["push_repeats"] == 1


def test_what_is_told_with_others_is_no_push_lost(run: Run) -> None:
    """Faults of a flood are told by a digest, one that comes and goes by its own last push; nothing urgent ever is."""
    name = f"{SITE}/gateway/FLOOD@office-9#1"
    for number in range(4):
        move(run.sql, f"{SITE}/door-{number}/A02@e1-{9 + number}", 9 + number, RAISED + number * S, "A", "B", "raise")
    for number in range(3):
        move(run.sql, f"{SITE}/lane/B06@e1-{20 + number}", 20 + number, RAISED + (700 + number) * S, "A", "B", "raise")
        run.lines["phone"].append(push(700, event=f"{SITE}/lane/B06@e1-{20 + number}"))
    run.lines["phone"].pop()
    run.sql.execute("UPDATE transitions SET priority = 'P3' WHERE rule IN ('A02', 'B06')")
    assert sum("no push for" in one for one in run.judge().wrong) == 4
    run.lines["phone"].append(push(3, event=name))
    wrong = run.judge().wrong
    assert [one for one in wrong if "no push for" in one or "of nothing" in one] == [
        f"1 no push for {SITE}/door-{number}/A02@e1-{9 + number} (A02)" for number in range(3)
    ]  # the fifth in ten minutes is the last door: before it there was no flood
    run.sql.execute("UPDATE transitions SET priority = 'P2' WHERE rule IN ('A02', 'B06')")
    assert sum("no push for" in one for one in run.judge().wrong) == 5


def test_a_run_in_which_nothing_could_be_lost_proves_nothing(run: Run) -> None:
    """The same record without any death, delay or repeat is no evidence."""
    run.lines["done"], run.lines["tap"] = [], []
    for line in run.lines["journal"]:
        if line["n"] in LOST:
            line |= {"fault": "silence", "points": {}}
        elif line["n"] == max(LOST) + 1:
            line["points"]["floor"] = line["n"] // 4
    run.sql.execute("UPDATE gaps SET cause = 'silent'")
    assert run.judge().wrong == ["proved nothing: nothing was at risk"]


def test_a_site_that_does_not_run_a_pack_is_not_asked_for_its_alarms(run: Run) -> None:
    """An alarm that is missing is missed only where its rule runs."""
    run.sql.execute("DELETE FROM transitions")
    run.sql.execute("DELETE FROM alarms")
    run.lines["phone"] = []
    assert [sentence for sentence in run.judge().wrong if "L03" in sentence]
    assert not [sentence for sentence in run.judge(packs=("access",)).wrong if "L03" in sentence]


def test_a_death_without_work_in_hand_does_not_count(run: Run) -> None:
    """Killing an office that has committed everything puts nothing at risk."""
    run.lines["done"] = [*run.lines["done"][2:], {"t": T + 60 * S, "did": "kill office"}]
    assert run.judge().risk["deaths with work in hand"] == 1  # that of the gateway


def test_a_push_in_the_cut_and_one_outside_are_told_apart(run: Run) -> None:
    """The latency of an alarm raised while the office was away is a figure of its own."""
    account = run.judge()
    assert (account.figures["latency_ms"], account.figures["latency_held_ms"]["n"]) == (None, 1)
    run.lines["done"] = run.lines["done"][2:]
    assert run.judge().figures["latency_ms"] == {"p50": 1000.0, "p99": 1000.0, "n": 1}


def test_what_was_spoilt_on_purpose_is_not_expected(run: Run) -> None:
    """A reply that the simulator spoilt may be missing, and the torn last line of a journal does not count."""
    run.lines["journal"].append({"t": T + 23 * S, "device": LIFT, "n": 99, "fault": "short"})
    account = run.judge()
    assert account.wrong == []
    with (run.folder / "journal.jsonl").open("a") as file:
        file.write('{"t": 17672256')
    assert len(oracle.lines(run.folder / "journal.jsonl")) == LAST + 1


def test_what_a_device_tells_between_two_replies_is_what_it_served(run: Run) -> None:
    """A change that a reply without a number carries is not in the next one again, and is expected all the same."""
    served = run.lines["journal"]
    at = next(index for index, line in enumerate(served) if line.get("n") == 15)
    over = served[at]["points"].pop("passenger_alarm")
    served.insert(at, {"t": T + 15 * S - 1, "device": LIFT, "points": {"passenger_alarm": over, "told": 1}})
    assert run.judge().wrong == []
    served[at]["points"]["passenger_alarm"] = not over
    assert any("replies wrong (lift-1/passenger_alarm is 0" in found for found in run.judge().wrong)
