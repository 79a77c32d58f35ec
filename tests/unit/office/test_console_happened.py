"""Events in words, and a site's devices at a glance."""

from typing import Any

import pytest

from cloud_sync.store.history import EventRow
from cloud_sync.store.reader import LatestRow
from office.console.brief import Brief, brief, grouped, natural
from office.console.happened import Happened, happened
from office.console.words import Words
from office.facts import ValueFacts
from office.known import Known, indexed
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CataloguePoint, CatalogueRule
from sitekeeper.model.event import pseudonym
from sitekeeper.texts import LANGUAGES

CARD = "8538421176"
TOKEN = pseudonym(b"sixteen bytes or more", "card", CARD)
POINTS = (
    CataloguePoint("door/mode", "door", "enum", members=("controlled", "free"), names={"en": "Door mode"}),
    CataloguePoint("door/rex", "door", "bool", names={"en": "Exit button"}),
)


@pytest.fixture
def known() -> Known:
    rules = (CatalogueRule("F01", "P1", {"en": "Fire: doors free"}),)
    return indexed(
        Catalogue(site="s", devices=(CatalogueDevice("door", "access", "p"),), points=POINTS, rules=rules), "h"
    )


def row(name: str, number: int = 1, at: int = 0, **fields: Any) -> EventRow:
    told = {key.rstrip("_"): value for key, value in fields.items()}
    return EventRow(
        id=number, site="s", source_id=f"door/{name}", at=at, fields=told, device_sequence=None, source=None, late=False
    )


def one(known: Known, name: str, **fields: Any) -> Happened:
    [found] = happened([row(name, **fields)], known, Words("en"))
    return found


def test_a_read_shows_a_pseudonym_and_never_a_card(known: Known) -> None:
    """The same card gives the same eight digits; a number that a site failed to hash is withheld in every language."""
    told = one(known, "read.event", granted=True, reason=1, dir="in", cred=TOKEN)
    assert told.said == f"granted, card {TOKEN[3:11]}, Direction: in, Reason: card valid"
    assert not told.grave
    for lang in LANGUAGES:
        [naked] = happened([row("read.event", granted=False, cred=CARD)], known, Words(lang))
        assert CARD not in naked.said
        assert naked.grave


@pytest.mark.parametrize(
    ("outcome", "words", "grave"),
    [("confirmed", "CONFIRMED", False), ("refused", "REFUSED", True), ("timed_out", "NOT TAKEN", True),
     ("unconfirmed", "NOT SEEN", True), ("released", "released", False)],
)  # fmt: skip
def test_a_command_says_what_by_whom_and_what_came_of_it(known: Known, outcome: str, words: str, grave: bool) -> None:
    """Point, value and rule by their names; what did not work stands out."""
    told = one(
        known, "command", id="1", point="mode", value="free", priority=2, by="F01", outcome=outcome, reason="interlock"
    )
    assert told.said.startswith("Door mode: free: unlocked (by Fire: doors free, priority 2): ")
    assert words in told.said
    assert told.said.endswith("(interlock)")
    assert told.grave is grave


def test_a_hole_in_a_counter_is_grave(known: Known) -> None:
    """With the numbers that never arrived."""
    told = one(known, "audit_gap", counter="ctrl-1", from_=4704, to=4705)
    assert told.said == "numbers 4704 to 4705 of ctrl-1 never arrived"
    assert told.grave


def test_events_come_newest_first_and_unknown_ones_are_told_all_the_same(known: Known) -> None:
    """By the site's time, not by arrival; an event of a class to come is told field by field."""
    found = happened([row("x.y_z", 2, at=1, depth=2.5), row("door.event", 1, at=9, state="open")], known, Words("en"))
    assert [each.at for each in found] == [9, 1]
    assert (found[1].what, found[1].said) == ("x y z", "depth: 2.5")


# devices at a glance


def value(name: str, kind: str, said: object, live: bool = True) -> tuple[str, ValueFacts]:
    point = CataloguePoint(f"d/{name}", "d", kind, names={"en": name})  # type: ignore[arg-type]
    latest = LatestRow(site="s", point=point.id, type=kind, unit="", at=0, value=said, q=0)  # type: ignore[arg-type]
    return name, ValueFacts(point=point, latest=latest, confirmed=0, live=live)


def test_a_quiet_door_says_little_and_a_forced_one_stands_out() -> None:
    """What is as it should be is left out; what is not is marked."""
    w = Words("en")
    quiet = dict([value("door.state", "enum", "closed"), value("door.alarm", "enum", "normal")])
    assert brief("access", quiet, w) == [("door.state", "closed", True, False)]
    forced = dict([value("door.state", "enum", "open"), value("door.alarm", "enum", "forced_open", live=False)])
    assert brief("access", forced, w) == [
        ("door.state", "open", True, False),
        ("door.alarm", "FORCED OPEN", False, True),
    ]


def test_truths_are_told_in_words_as_the_store_has_them() -> None:
    """0 and 1 of a lamp's failure flag: left out, and FAILED."""
    w = Words("en")
    assert brief("lighting", dict([value("lamp.fail", "bool", 0)]), w) == []
    assert brief("lighting", dict([value("lamp.fail", "bool", 1)]), w) == [("lamp.fail", "FAILED", True, True)]
    assert brief("fire", dict([value("fire.alarm", "bool", 1)]), w) == [("fire.alarm", "FIRE ALARM", True, True)]


def device(name: str, cls: str = "lighting", zone: str = "", worst: str = "", answers: bool | None = True) -> Brief:
    return Brief(id=name, name=name, cls=cls, zone=zone, answers=answers, words=[], worst=worst)


def test_devices_are_grouped_by_class_and_zone_with_the_worst_first() -> None:
    """Lifts before lamps, the zone with the alarm first, then what does not answer, then as people count."""
    lamps = [device(f"lamp-{n}", zone="b" if n > 12 else "a") for n in range(1, 24)]
    found = grouped([*lamps, device("lamp-24", zone="b", worst="P2"), device("lamp-0", zone="a", answers=False),
                     device("lift", "lift"), device("pump", "pump")])  # fmt: skip
    assert [group.cls for group in found] == ["lift", "lighting", "other"]
    lighting = found[1]
    assert lighting.compact
    assert dict(lighting.counts) == {"all": 25, "answer": 24, "silent": 1, "unknown": 0, "abnormal": 1}
    assert [zone for zone, _ in lighting.zones] == ["b", "a"]
    assert [each.id for each in lighting.zones[0][1]][:3] == ["lamp-24", "lamp-13", "lamp-14"]
    assert [each.id for each in lighting.zones[1][1]][:3] == ["lamp-0", "lamp-1", "lamp-2"]
    assert natural("lamp-2") < natural("lamp-10")
