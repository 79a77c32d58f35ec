"""The witnesses of the fault runs over doors: the log of their broker, and the judge of order and of gaps."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests import doors_broker
from tests.oracle_doors import judge_told
from tests.oracle_record import SECOND, Account, Line, Office

GATEWAY = doors_broker.GATEWAY + "ab12"
SENT = "1: Sending PUBLISH to {} (d{}, q1, r0, m{}, 'sp/estate/access/7/event', ... (9 bytes))\n"


def test_what_the_gateway_has_not_acknowledged_when_it_goes_was_at_risk(tmp_path: Path) -> None:
    """Of three events sent one is acknowledged; two are at risk, and come again; another client's do not count."""
    log = tmp_path / "log"
    log.write_text(
        "".join(SENT.format(GATEWAY, 0, number) for number in (1, 2, 3))
        + SENT.format("somebody", 0, 4)
        + f"1: Received PUBACK from {GATEWAY} (Mid: 2, RC:0)\n1: Client {GATEWAY} closed its connection.\n"
        + "".join(SENT.format(GATEWAY, 1, number) for number in (1, 3))
        + "2: mosquitto version 2.0.11 starting\n"
    )
    assert doors_broker.at_risk(log) == {
        doors_broker.BY_GATEWAY: 2,
        doors_broker.AGAIN: 2,
        doors_broker.BY_BROKER: 2,
    }


def test_the_gateway_listens_from_its_subscription_to_its_end(tmp_path: Path) -> None:
    """The topics of events that it has subscribed to count, until it goes."""
    log = tmp_path / "log"
    log.write_text(f"1: {GATEWAY} 1 sp/estate/access/7/status\n1: {GATEWAY} 1 sp/estate/access/7/event\n")
    assert doors_broker.gateway_listens(log) == {"sp/estate/access/7/event"}
    log.write_text(log.read_text() + f"2: Socket error on client {GATEWAY}, disconnecting.\n")
    assert doors_broker.gateway_listens(log) == set()


def judged(folder: Path, rows: list[tuple[str, int | None, str]], done: list[Line]) -> Account:
    """Return the account of a controller that tells six events, one a second."""
    path = folder / "office.db"
    with sqlite3.connect(path) as office:
        office.executescript(
            "CREATE TABLE gaps (site, scan_group, start, 'end', cause);"
            "CREATE TABLE blocks (id INTEGER PRIMARY KEY, epoch, sequence);"
            "CREATE TABLE events (site, source_id, device_sequence, fields, block, position);"
        )
        for number, (source, sequence, fields) in enumerate(rows):
            office.execute("INSERT INTO blocks VALUES (?, 'e', ?)", (number, number))
            office.execute("INSERT INTO events VALUES ('s', ?, ?, ?, ?, 0)", (source, sequence, fields, number))
    office.close()
    journal: list[Line] = [
        {"t": number * SECOND, "device": "door", "controller": "7", "run": 1, "event": {"seq": number}}
        for number in range(1, 7)
    ]
    account, tables = Account(), Office(path, "s")
    judge_told(journal, done, tables, account)
    tables.close()
    return account


GAP = ("door/audit_gap", None, json.dumps({"counter": "doors/sp/s/access/7/event", "from": 2, "to": 3}))
DEATH: list[Line] = [{"t": 3 * SECOND, "did": "kill doors"}, {"t": 4 * SECOND, "did": "back doors"}]


def seen(*sequences: int) -> list[tuple[str, int | None, str]]:
    return [("door/read.event", sequence, "{}") for sequence in sequences]


@pytest.mark.parametrize(
    ("rows", "done", "wrong"),
    [
        (seen(1, 2, 3, 4), [], []),
        (seen(1, 3, 2, 4), [], ["1 events out of order (('7', 2))"]),
        ([*seen(1), GAP, *seen(4, 2, 3)], [], []),
        ([*seen(1), GAP, *seen(4, 2)], DEATH, []),
        (
            [*seen(1), GAP, *seen(4, 2)],
            [],
            ["1 events in a gap that no death of the doors' broker explains (('7', 3))"],
        ),
    ],
    ids=["in order", "overtaken", "a gap that was filled", "a death explains", "nothing explains"],
)
def test_order_and_gaps(
    tmp_path: Path, rows: list[tuple[str, int | None, str]], done: list[Line], wrong: list[str]
) -> None:
    """Only what fills a told gap may come behind its successors, and only a death of the broker excuses the rest."""
    assert judged(tmp_path, rows, done).wrong == wrong
