"""What a page says of values, lifts, pushes and the stream, in words."""

import asyncio

import pytest

from cloud_sync.store.base import Push, StoredTransition
from cloud_sync.store.reader import LatestRow
from office.console.brief import brief
from office.console.stream import BACKLOG, Client, event
from office.console.words import SHAPES, Words
from office.facts import VOUCHED_WITHIN, AlarmFacts, ValueFacts, _value
from office.known import indexed
from sitekeeper.catalogue import Catalogue, CataloguePoint
from sitekeeper.model.alarm import AlarmRecord, AlarmState
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Ack
from sitekeeper.model.quality import Reason, bad
from sitekeeper.texts import LANGUAGES
from tests.unit.office.conftest import transition

FLOOR = CataloguePoint("l/floor", "l", "int", "l@1s")
DOOR = CataloguePoint("l/door", "l", "enum", "l@1s", members=("closed", "open"))


def latest(point: CataloguePoint, value: object, q: int = 0, at: int = 0) -> LatestRow:
    return LatestRow(site="s", point=point.id, type=point.type, unit="", at=at, value=value, q=q)  # type: ignore[arg-type]


def test_a_value_is_live_only_while_everything_behind_it_is_recent() -> None:
    """Good, vouched for of late, by a site that is heard: each alone is not enough."""
    now = 1_000 * SECOND
    fresh, old = {"l@1s": now}, {"l@1s": now - VOUCHED_WITHIN - 1}
    assert _value(FLOOR, latest(FLOOR, 3), fresh, True, now).live
    assert not _value(FLOOR, latest(FLOOR, 3), fresh, False, now).live
    assert not _value(FLOOR, latest(FLOOR, 3), old, True, now).live
    assert not _value(FLOOR, latest(FLOOR, None, bad(Reason.STALE)), fresh, True, now).live
    assert not _value(FLOOR, None, fresh, True, now).live


@pytest.mark.parametrize(("lang", "door"), [("en", "closed"), ("zh-Hant", "已關"), ("zh-Hans", "已关")])
def test_a_lift_is_told_in_words_with_what_is_not_live_marked(lang: str, door: str) -> None:
    """Floor and door in the page's language; the door, of which nothing is heard any more, is marked."""
    values = {
        "floor": ValueFacts(point=FLOOR, latest=latest(FLOOR, 12), confirmed=0, live=True),
        "door": ValueFacts(point=DOOR, latest=latest(DOOR, "closed"), confirmed=0, live=False),
    }
    told = brief("lift", values, Words(lang))  # type: ignore[arg-type]
    assert [(said, live) for _, said, live, _ in told] == [("12", True), (door, False)]


def test_a_value_says_its_unit_and_a_truth_its_word() -> None:
    """Booleans come as the store holds them, 0 and 1."""
    w = Words("en")
    assert w.value(CataloguePoint("l/load", "l", "float", unit="%"), 36.25) == "36.25 %"
    assert w.value(CataloguePoint("l/x", "l", "bool"), 1) == "yes"
    assert w.value(CataloguePoint("l/x", "l", "bool"), 0) == "no"
    assert w.value(DOOR, "half_open") == "half open"


def alarm(
    *states: str, pending: Ack | None = None, state: str = "B", decision: str | None = "send: desk"
) -> AlarmFacts:
    moved = transition()
    cause = StoredTransition(
        id=1, site="hq", epoch="e1", sequence=1, position=0, committed=0, transition=moved, decision=decision
    )
    pushes = [
        Push(id=n, occurrence=moved.occurrence, event_id="e", recipient="r", channel=f"c{n}", state=each)  # type: ignore[arg-type]
        for n, each in enumerate(states)
    ]
    record = AlarmRecord(moved.key, "L01", moved.occurrence, AlarmState(state), "P1", True, 0, 0)
    known = indexed(Catalogue(site="hq"), None)
    return AlarmFacts(record=record, known=known, live=True, cause=cause, pending=pending, pushes=pushes)


def test_one_failed_push_is_not_hidden_by_those_that_arrived() -> None:
    """Failed before waiting before sent; without any, the reason."""
    w = Words("en")
    assert w.pushed(alarm("sent", "given-up", "sending")) == ("failed", "1 of 3 FAILED")
    assert w.pushed(alarm("sent", "planned"))[0] == "waiting"
    assert w.pushed(alarm("sent", "sent")) == ("sent", "2 accepted")
    assert w.pushed(alarm(decision="watch-mode")) == ("none", "the rule is only being watched")


def test_an_acknowledgement_that_waits_says_so() -> None:
    """Until the site has answered, the name does not stand there as if it had."""
    waiting = Ack("i", "o", "ann", "", 0)
    assert "not answered" in Words("en").who(alarm(pending=waiting))
    assert Words("en").who(alarm()) == ""


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_severity_has_a_shape_and_a_word_of_its_own(lang: str) -> None:
    """Colour never stands alone, in any language."""
    w = Words(lang)
    assert len({w.severity(priority) for priority in SHAPES}) == len(set(SHAPES.values())) == 4


def test_an_event_has_its_id_only_if_it_can_be_replayed() -> None:
    """A beat must not move the browser's Last-Event-ID."""
    assert event("alarm", {"a": 1}, 7) == b'id: 7\nevent: alarm\ndata: {"a":1}\n\n'
    assert b"id:" not in event("beat", {})


def test_a_browser_that_takes_nothing_is_told_to_load_anew() -> None:
    """Its queue is bounded; beyond it all is dropped for one `reload` and the end."""
    client = Client()
    assert all(client.put((n, b"x")) for n in range(1, BACKLOG + 1))
    assert not client.put((BACKLOG + 1, b"x"))
    left = [client.queue.get_nowait() for _ in range(client.queue.qsize())]
    assert left == [(0, event("reload", {})), None]
    assert isinstance(client.queue, asyncio.Queue)
