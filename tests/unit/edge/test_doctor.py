"""What `sk doctor` makes of facts: ids, states, order, cause and next command of each finding."""

from typing import Any

import pytest

from edge.doctor import audit, certificate, clock, daemon, devices, office, outbox
from edge.doctor.examine import examine
from edge.doctor.facts import Daemon, Known
from edge.doctor.finding import Finding
from sitekeeper.control import Problem
from sitekeeper.texts import LANGUAGES, text

GB = 1_000_000_000
NOWHERE = "lift-a1: tcp 10.1.3.41:502 unit 1: FC04 address 20 count 8: no answer within 1 s"


def status(**more: Any) -> dict[str, Any]:
    """Return the status of a gateway that is well, but for `more`."""
    well = {"site": "hq", "uptime_s": 3600, "version": "1", "outbox": {"state": "ok", "samples_dropped": 0}}
    return well | more


def sync(state: str = "connected", age: float | None = 2.0, blocks: int = 3) -> dict[str, Any]:
    uplink = {"state": state, "receipt_age_s": age, "protocol": "5", "last_error": "refused by peer"}
    return {"uplink": uplink, "unsent": {"alarms": {"blocks": blocks}, "samples": {"blocks": 0}}}


def device(name: str = "lift-a1", state: str = "silent", error: str = NOWHERE) -> dict[str, Any]:
    endpoint = "10.1.3.41:502 unit 1"
    return {
        "id": name,
        "state": state,
        "endpoint": endpoint,
        "last_error": error,
        "last_good": "2026-03-01T10:00:00Z",
        "frozen": False,
    }


def known(**more: Any) -> Known:
    lift = {"id": "lift-a1", "state": "answers"}
    well: dict[str, Any] = {
        "daemon": Daemon(status=status(), sync=sync(), devices=[lift], shown={}, refused={}),
        "clock_trusted": True,
        "outbox": "/var/lib/x/outbox.db",
        "free": 50 * GB,
    }
    return Known(**(well | more))


def brief(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(each.id, each.state, each.said) for each in findings]


def test_a_healthy_gateway_passes_every_check_and_nothing_is_to_do() -> None:
    """Twelve checks, each told as ok, none with a command."""
    found = examine(known())
    assert [each.id for each in found] == [
        "DMN01", "OUT01", "OUT03", "OUT04", "OUT02", "DEV01", "DEV02", "OFF01", "OFF02", "OFF03", "AUD01", "CLK01",
    ]  # fmt: skip
    assert {each.state for each in found} == {"ok"}
    assert not any(each.next for each in found)


def test_without_a_daemon_disk_and_clock_are_still_looked_at() -> None:
    """What needs no daemon is judged; what does is not guessed."""
    found = examine(known(daemon=None, problem=Problem("not-running", "nobody"), clock_trusted=False))
    assert [(each.id, each.state) for each in found] == [("DMN01", "fail"), ("CLK01", "warn"), ("OUT02", "ok")]
    assert found[0].fields == {"message": "nobody"}
    assert found[0].next == "sk run --site DIR"


def test_faults_come_before_warnings_and_the_cause_before_its_effects() -> None:
    """A dead device stands before an office that is away, and both before a clock that is merely not synchronised."""
    ill = Daemon(status=status(), sync=sync("connecting"), devices=[device()], shown={"lift-a1": device()}, refused={})
    found = examine(known(daemon=ill, clock_trusted=False))
    assert [each.id for each in found[:3]] == ["DEV01", "OFF01", "CLK01"]


@pytest.mark.parametrize(
    ("error", "said", "following"),
    [
        (NOWHERE, "device-silent", "sk probe modbus 10.1.3.41:502 --unit 1 --table input --address 20"),
        (
            "lift-a1: tcp 10.1.3.41:502: connection refused: 3 times in a row",
            "device-nobody",
            "sk probe modbus 10.1.3.41:502 --unit 1",
        ),
        (
            "tcp 10.1.3.41:502 unit 1: FC03 address 0 count 1: the peer closed the connection",
            "device-nobody",
            "sk probe modbus 10.1.3.41:502 --unit 1 --table holding --address 0",
        ),
        (
            "tcp 10.1.3.41:502 unit 1: FC01 address 9 count 1: exception 2, illegal data address",
            "device-refused",
            "sk probe modbus 10.1.3.41:502 --unit 1 --table coil --address 9",
        ),
        ("", "device-frozen", "sk probe modbus 10.1.3.41:502 --unit 1"),
    ],
)
def test_a_dead_device_has_its_cause_by_its_last_error_and_the_probe_that_asks_the_same(error, said, following) -> None:
    """Silence, no connection, a wrong answer and frozen values are different faults."""
    (found,) = devices.silent([device()], [device(error=error)])
    assert (found.id, found.state, found.about, found.said) == ("DEV01", "fail", "lift-a1", said)
    assert found.next == following
    assert found.fields["endpoint"] == "10.1.3.41:502 unit 1"
    assert found.fields["last_good"] == "2026-03-01T10:00:00Z"
    assert found.fields.get("error", "") == error


@pytest.mark.parametrize(
    ("error", "said", "following"),
    [
        (
            "d: mqtt 10.1.3.9:1883: offline, says its availability topic",
            "device-offline",
            "sk probe mqtt 10.1.3.9:1883",
        ),
        ("mqtt 10.1.3.9:1883: not-authorised: code 135", "device-broker", "sk probe mqtt 10.1.3.9:1883"),
        (
            "l: bacnet-ip 10.1.3.20:47808 device 1200: did not answer a moment ago",
            "device-station",
            "sk probe bacnet 10.1.3.20:47808 --device 1200",
        ),
    ],
)
def test_a_device_behind_a_broker_or_on_bacnet_has_a_cause_and_a_probe_of_its_own(error, said, following) -> None:
    """A controller that is away is not a broker that refuses us, and neither is a Modbus unit."""
    (found,) = devices.silent([device()], [device(error=error)])
    assert (found.said, found.next) == (said, following)


def test_an_error_of_an_earlier_fault_is_not_the_cause_of_values_that_stand_still() -> None:
    """The daemon keeps the last error; a frozen device answers since."""
    (found,) = devices.silent([], [device() | {"frozen": True}])
    assert found.said == "device-frozen"
    assert "error" not in found.fields


def test_a_device_that_is_not_modbus_is_shown_and_not_probed() -> None:
    """The command has to be one that works."""
    assert devices.probe("10.1.3.9 1200", "no answer", "hvac-1") == "sk device show hvac-1"


def test_every_silent_device_has_its_own_finding() -> None:
    """None hides behind another."""
    two = [device("lift-a1"), device("lift-a2")]
    assert [each.about for each in devices.silent(two, two)] == ["lift-a1", "lift-a2"]


def test_refused_points_are_named_five_of_them_and_counted() -> None:
    """A device that takes all its points is not named."""
    names = [f"p{n}" for n in range(7)]
    shown = {"lift-a1": device(state="answers"), "lift-a2": device("lift-a2", "answers")}
    (found,) = devices.refused(shown, {"lift-a1": names, "lift-a2": []})
    assert (found.id, found.state, found.about) == ("DEV02", "warn", "lift-a1")
    assert (found.fields["count"], found.fields["points"]) == (7, "p0, p1, p2, p3, p4, ...")
    assert brief(devices.refused(shown, {"lift-a1": []})) == [("DEV02", "ok", "points-taken")]


@pytest.mark.parametrize(
    ("state", "age", "blocks", "uptime", "expected"),
    [
        ("none", None, 9, 3600, [("OFF01", "ok", "office-none")]),
        ("connected", 14.9, 1, 60, [("OFF01", "ok", "office-connected"), ("OFF02", "ok", "receipts-fresh")]),
        ("connected", 15.0, 1, 60, [("OFF01", "ok", "office-connected"), ("OFF02", "fail", "receipts-old")]),
        ("connected", 999.0, 0, 60, [("OFF01", "ok", "office-connected"), ("OFF02", "ok", "receipts-none-due")]),
        ("waiting", None, 1, 60, [("OFF01", "ok", "office-connected"), ("OFF02", "fail", "receipts-never")]),
        ("connecting", None, 1, 60, [("OFF01", "fail", "office-away"), ("OFF02", "fail", "receipts-never")]),
        ("connecting", None, 1, 59, [("OFF01", "warn", "office-starting"), ("OFF02", "ok", "receipts-soon")]),
    ],
)
def test_the_office_is_judged_by_connection_and_receipts(state, age, blocks, uptime, expected) -> None:
    """No office is no fault; a gateway that has just started gets a minute; old receipts matter if something waits."""
    found = office.check(status(uptime_s=uptime), sync(state, age, blocks))
    assert brief([each for each in found if each.id != "OFF03"]) == expected


@pytest.mark.parametrize(
    ("state", "more", "said"),
    [
        ("connecting", {"half_open": True}, "office-half-open"),
        ("connecting", {"revoked": True, "half_open": True}, "office-revoked"),
        ("connecting", {"ended_by_broker": "142 taken-over"}, "office-taken-over"),
        ("refused", {"refused": {"samples": "135 not-authorised"}}, "office-not-authorised"),
        ("refused", {"refused": {"samples": "149 too-large"}}, "office-too-large"),
        ("refused", {"refused": {"events": "151 quota"}}, "office-quota"),
        ("refused", {"refused": {"events": "131 other"}}, "office-refused"),
    ],
)
def test_what_the_broker_said_is_named(state: str, more: dict[str, Any], said: str) -> None:
    """Half open, taken over and each refusal have a sentence and a cause of their own, in every language."""
    facts = sync(state)
    facts["uplink"] |= more
    found = office.check(status(), facts)[0]
    assert (found.state, found.said) == ("fail", said)
    for lang in LANGUAGES:
        assert text(f"doctor.{said}", lang, **found.fields)
        assert text(f"doctor.{said}.cause", lang)


@pytest.mark.parametrize(
    ("free", "state", "said"),
    [
        (1_000_000_000, "ok", "disk-free"),
        (999_999_999, "warn", "disk-low"),
        (200_000_000, "warn", "disk-low"),
        (199_999_999, "fail", "disk-low"),
        (None, "warn", "disk-unknown"),
    ],
)
def test_the_disk_is_judged_by_what_is_free(free, state, said) -> None:
    """Below 1 GB a warning, below 200 MB a fault."""
    assert brief(outbox.disk("/x/outbox.db", free)) == [("OUT02", state, said)]


@pytest.mark.parametrize(
    ("facts", "state", "said"),
    [
        ({"state": "ok", "samples_dropped": 0}, "ok", "writes"),
        ({"state": "ok", "samples_dropped": 4}, "warn", "writes-dropped"),
        ({"state": "disk full", "samples_dropped": 4}, "fail", "writes-not"),
    ],
)
def test_the_outbox_is_judged_by_whether_it_writes(facts, state, said) -> None:
    """Dropped samples are a warning, not writing at all is a fault."""
    assert brief(outbox.writes(status(outbox=facts))) == [("OUT01", state, said)]


AWAY = {"folder": "/x/outbox.db.quarantine-20260301T100000.000000Z", "at": "20260301T100000.000000Z"}
SAVED = AWAY | {
    "why": "damaged: row 3",
    "epoch": "e1",
    "lost": {"alarms": 0, "samples": 7},
    "saved": {"alarms": 1, "samples": 90},
    "alarms": "kept",
}
ILL = [
    *outbox.saved(
        status(outbox={"quarantines": [AWAY, SAVED, SAVED | {"alarms": "check_site", "lost": {"alarms": -1}}]})
    ),
    *outbox.evicted(
        status(outbox={"dropped": {"blocks": 2, "records": 9, "last": "2026-03-01T10:00:00Z", "age_s": 60}})
    ),
    *office.check(status(boot="b1"), {"uplink": sync()["uplink"] | {"taken_over_age_s": 14.2}, "unsent": {}})[2:],
    *certificate.check({"certificate": {"stage": "late", "ends": 10**15, "left_s": 90_000, "problem": "no way"}}),
    *certificate.check({"certificate": {"stage": "over", "ends": 10**15, "left_s": -9, "problem": "no way"}}),
    *clock.agrees({"office_clock_ahead_s": -61.0}),
    *audit.check(status(audit={"rows": 9, "kept": 9, "most": 100, "stands": False})),
    *audit.check(status(audit={"rows": 80, "kept": 80, "most": 100, "stands": True})),
]
"""What is wrong with the record, the identity and the time."""
FINE = [
    *outbox.evicted(status(outbox={"dropped": {"blocks": 2, "records": 9, "last": "2026-03-01", "age_s": 90_000}})),
    *office.check(status(), {"uplink": sync()["uplink"] | {"taken_over_age_s": 601.0}, "unsent": {}})[2:],
    *certificate.check({"certificate": {"stage": "good", "ends": 10**15, "left_s": 90_000, "problem": ""}}),
    *certificate.check({"certificate": {"stage": "due", "ends": 10**15, "left_s": 90_000, "problem": ""}}),
    *clock.agrees({"office_clock_ahead_s": 1.5}),
    *audit.check(status(audit={"rows": 90, "kept": 79, "most": 100, "stands": True})),
]
"""The same, harmless: long ago, being renewed, or within what a message takes."""


def test_a_record_an_identity_and_a_time_that_are_in_doubt_are_named() -> None:
    """A salvage with folder and losses, drops of today, a twin, certificate, clock, audit; and none of it else."""
    assert [(each.id, each.state, each.said) for each in ILL] == [
        ("OUT03", "warn", "quarantine-unknown"),
        ("OUT03", "warn", "quarantine"),
        ("OUT03", "warn", "quarantine-alarms"),
        ("OUT04", "warn", "evicted"),
        ("OFF03", "fail", "office-twin"),
        ("CRT01", "warn", "certificate-due"),
        ("CRT01", "fail", "certificate-over"),
        ("CLK02", "warn", "clock-apart"),
        ("AUD01", "fail", "audit-broken"),
        ("AUD01", "warn", "audit-full"),
    ]
    saved = ILL[1]
    assert saved.fields == {
        **AWAY,
        "why": "damaged: row 3",
        "lost": "alarms 0, samples 7",
        "saved": "alarms 1, samples 90",
    }
    assert saved.next == f"ls -l {AWAY['folder']}"
    assert ILL[2].fields["lost"] == "alarms ?"
    assert {each.state for each in FINE} == {"ok"}
    assert [each.said for each in FINE] == [
        "evicted-before", "office-alone", "certificate-good", "certificate-renewing", "clock-agrees", "audit-stands",
    ]  # fmt: skip
    assert certificate.check({}) == clock.agrees({}) == []


def test_whatever_is_wrong_has_evidence_cause_and_command_in_every_language() -> None:
    """And what is well has evidence; no text lacks a field."""
    found = daemon.check(None, "nobody") + daemon.check(status(), "") + clock.check(trusted=False)
    found += clock.check(trusted=True) + outbox.disk("/x", None) + outbox.disk("/x", 5 * GB) + outbox.disk("/x", 5)
    for state in ("none", "connected", "waiting"):
        for age, uptime in ((2.0, 5), (999.0, 99), (None, 99)):
            found += office.check(status(uptime_s=uptime), sync(state, age))
    for facts in ({"state": "ok", "samples_dropped": 4}, {"state": "full", "samples_dropped": 0}):
        found += outbox.writes(status(outbox=facts))
    for error in (NOWHERE, "", "tcp: refused", "x: FC01 address 9: exception 2"):
        found += devices.silent([], [device(error=error)])
    found += devices.silent([], []) + devices.refused({"a": device()}, {"a": ["p"]}) + devices.refused({}, {})
    for each in found + ILL + FINE:
        for lang in LANGUAGES:
            assert text(f"doctor.{each.said}", lang, **each.fields)
            assert each.state == "ok" or text(f"doctor.{each.said}.cause", lang)
        assert bool(each.next) == (each.state != "ok")
