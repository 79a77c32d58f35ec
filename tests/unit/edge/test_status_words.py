"""`sk status` in words: the same facts in three languages, each fault with its command, codes never translated."""

from typing import Any

import pytest

from edge import health
from edge.cli.status import _print
from edge.health import problems
from sitekeeper.control import Problem
from sitekeeper.model.clock import MINUTE, SECOND
from sitekeeper.texts import LANGUAGES
from tests.unit.edge.test_health import facts

ROOM = "room for 1,234.5 h without the office, no room: alarms go on in the reserve"
ILL = facts(
    clock_trusted=False,
    writer_error="disk full",
    volatile=2,
    unacked=3,
    office="connecting",
    receipt_age=61 * SECOND,
    unsent=9,
    silent_devices=("lift-a2",),
    taken_over=MINUTE,
    boot="b1",
    audit_stands=True,
    audit_kept=80,
    audit_most=100,
)


def item(**outbox: Any) -> dict[str, Any]:
    return {
        "site": "hq",
        "version": "1.2",
        "at": "2026-03-01T10:00:00.000Z",
        "uptime_s": 77,
        "clock_trusted": False,
        "devices": {"all": 2, "online": 1, "silent": ["lift-a2"]},
        "alarms": {"active": 1, "unacked": 3},
        "outbox": {
            "state": "ok",
            "unsent": {"alarms": 2, "events": 0, "samples": 7},
            "samples_dropped": 4,
            "alarms_volatile": 0,
            "no_room": "",
            "hours": 1234.5,
        }
        | outbox,
        "office": {"state": "connecting", "receipt_age_s": 61.0, "office_clock_ahead_s": 3.5},
        "commands": {"standing": 1, "unsettled": []},
    }


def said(capsys: pytest.CaptureFixture[str], lang: str, found: list[Problem], **outbox: Any) -> tuple[list[str], str]:
    _print(item(**outbox), found, lang)
    out, err = capsys.readouterr()
    return out.splitlines(), err


def test_the_english_words_are_those_that_scripts_and_pages_know(capsys: pytest.CaptureFixture[str]) -> None:
    """Part, state, detail, a line each; an outbox without room and alarms in memory say so."""
    lines, err = said(capsys, "en", problems(ILL), alarms_volatile=2, no_room="full")
    assert lines == [
        "part\tstate\tdetail",
        "gateway\trunning\thq up 77 s, version 1.2",
        "clock\tnot synchronised\t2026-03-01T10:00:00.000Z, by the office's clock +3.5 s",
        "office\tconnecting\tlast receipt 61.0 s ago, waiting: 2 alarms, 7 samples",
        "outbox\tok\tsamples dropped: 4, alarms only in memory: 2, " + ROOM,
        "devices\t1 of 2 answer\tlift-a2",
        "alarms\t1 active\t3 to acknowledge",
        "commands\t1 stand\t0 not as they should",
    ]
    assert "office: connecting, without a receipt for 61 s; blocks that wait: 9\n  next: sk sync status" in err


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_says_every_fact(capsys: pytest.CaptureFixture[str], lang: str) -> None:
    """No number, name, code or command is lost in it, and no English is left in the Chinese ones."""
    lines, err = said(capsys, lang, problems(ILL))
    for fact in ("hq", "77", "1.2", "61.0", "7", "1,234.5", "lift-a2", "+3.5"):
        assert any(fact in line for line in lines[1:])
    for problem in problems(ILL):
        assert f"{problem.code}: " in err
        assert problem.hint in err
    for fact in ("disk full", "lift-a2", "61", "b1", "80", "100"):
        assert fact in err
    english, _ = said(capsys, "en", [])
    assert lang == "en" or not {line.split("\t")[0] for line in english} & {line.split("\t")[0] for line in lines}


def test_a_word_of_an_older_gateway_is_shown_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """It tells no key, only its English sentence."""
    _, err = said(capsys, "zh-Hans", [Problem("clock", "the wall clock is wrong", "timedatectl")])
    assert "clock: the wall clock is wrong" in err


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"taken_over": health.TWIN - 1}, ["twin"]),
        ({"taken_over": health.TWIN}, []),
        ({"audit_stands": False}, ["audit"]),
        ({"audit_stands": True, "audit_kept": 79, "audit_most": 100}, []),
        ({"audit_stands": None, "audit_kept": 80, "audit_most": 100}, ["audit"]),
    ],
)
def test_a_twin_and_an_audit_in_doubt_need_a_person(more: dict[str, Any], code: list[str]) -> None:
    """A twin for ten minutes after it took the connection; an audit that was tampered with, or is 80 % full."""
    assert [problem.code for problem in problems(facts(**more))] == code
