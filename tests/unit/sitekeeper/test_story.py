"""An alarm told as a story: every move, every message, in order, in each language."""

import pytest

from cloud_sync.store.base import Push
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueRule
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.clock import HOUR, MINUTE, SECOND
from sitekeeper.model.command import Ack, Actor
from sitekeeper.model.quality import GOOD
from sitekeeper.story import labels, pending_ack, span, story

AT = 1_763_791_380 * SECOND  # 2025-11-22 14:03:00 in Hong Kong
KEY = "hq/lift-a1/L01"
B, C, LA, A = AlarmState.UNACKED, AlarmState.ACKED, AlarmState.LATCHED_ACKED, AlarmState.NORMAL
CATALOGUE = Catalogue(
    site="hq",
    names={"en": "Pine Court"},
    timezone="Asia/Hong_Kong",
    devices=(CatalogueDevice("lift-a1", "lift", "x", {"en": "Tower A lift 1"}),),
    rules=(CatalogueRule("L01", "P1", {"en": "Entrapment"}),),
)


def move(cause: Cause, source: AlarmState, target: AlarmState, after: int, **fields: object) -> Transition:
    return Transition(
        f"{KEY}@e1-1", KEY, "L01", source, target, cause, "P1", AT + after * SECOND, after * SECOND, True, **fields
    )  # fmt: skip


MOVES = [
    move(Cause.RAISE, A, B, 0, detail="stuck for 30 s", values={"floor": (7, GOOD)}, limits={"stuck_for": "30s"}),
    move(Cause.ACK, B, C, 316, actor=Actor("wong", "office", "office"), note="on the way"),
    move(Cause.CLEAR, C, LA, 1_000),
    move(Cause.RESET, LA, A, 1_200, actor=Actor("li", "technician", "site"), note="released, 1 person"),
]


def push(number: int, state: str, after: int | None, **fields: object) -> Push:
    started = None if after is None else AT + after * SECOND
    return Push(
        id=number, occurrence=f"{KEY}@e1-1", event_id="e", recipient="d", channel="desk", attempt=number,
        state=state, started=started, **fields,
    )  # fmt: skip


PUSHES = [
    push(1, "failed", 1, latency_ms=12.4, answer="500 Internal Server Error"),
    push(2, "sent", 3, latency_ms=23.0, answer="200 OK", possible_repeat=True),
]


def test_the_whole_story_in_order() -> None:
    """Heading, raise with what the rule saw, both attempts, acknowledgement, return, reset, and how it stands now."""
    assert story(MOVES, PUSHES, labels(CATALOGUE, KEY, "en")) == [
        "Entrapment (L01), Tower A lift 1, Pine Court: life safety",
        "2025-11-22 14:03:00 +08:00  raised",
        "    stuck for 30 s",
        "    floor: 7",
        "    stuck_for 30s",
        "2025-11-22 14:03:01 +08:00  push to d over desk, attempt 1: failed after 12 ms (500 Internal Server Error)",
        "2025-11-22 14:03:03 +08:00  push to d over desk, attempt 2: accepted after 23 ms (200 OK); possibly a repeat",
        "2025-11-22 14:08:16 +08:00  acknowledged by wong (office): on the way",
        "2025-11-22 14:19:40 +08:00  condition over; held until somebody on site has reset it",
        "2025-11-22 14:23:00 +08:00  reset by li (on site): released, 1 person",
        "Now: normal",
    ]


def test_the_site_tells_the_same_story_without_pushes() -> None:
    """On the site nothing is known of pushes, and nothing is said of them."""
    lines = story(MOVES, [], labels(CATALOGUE, KEY, "en"))
    assert not [line for line in lines if "push" in line]
    assert len(lines) == 9


def test_moves_keep_their_order_when_the_clock_was_set_back() -> None:
    """Times may run backwards; what happened first is told first."""
    back = [MOVES[0], move(Cause.ACK, B, C, -3_600, actor=Actor("wong", "office", "office"))]
    lines = story(back, PUSHES, labels(CATALOGUE, KEY, "en"))
    assert [("raised" in line, "acknowledged" in line) for line in lines if line.endswith(("raised", "(office)"))] == [
        (True, False),
        (False, True),
    ]
    assert sum("push to" in line for line in lines) == 2


def test_why_nothing_was_pushed_is_part_of_the_story() -> None:
    """A watched rule is recorded and the story says why nobody was told."""
    watched = [move(Cause.RAISE, A, B, 0, mode="watch")]
    lines = story(watched, [], labels(CATALOGUE, KEY, "en"), ["watch-mode"])
    assert "    not pushed: the rule is only being watched" in lines
    assert not [line for line in story(MOVES, [], labels(CATALOGUE, KEY, "en"), ["send: desk"]) if "not pushed" in line]


def test_a_push_that_waits_has_no_time() -> None:
    """A planned attempt stands last, without a time that would be invented."""
    lines = story(MOVES[:1], [*PUSHES, push(3, "planned", None)], labels(CATALOGUE, KEY, "en"))
    assert lines[-2].lstrip() == "push to d over desk, attempt 3: waiting"
    assert lines[-2].startswith(" " * 20)


@pytest.mark.parametrize("lang", ["en", "zh-Hant", "zh-Hans"])
def test_every_move_and_state_has_words(lang: str) -> None:
    """No cause, state, push state or reason is without a text in any language."""
    names = labels(CATALOGUE, KEY, lang)
    moves = [
        move(cause, state, state, 0, actor=Actor("x", "operator", "site")) for cause in Cause for state in AlarmState
    ]
    pushes = [push(1, state, 0, reason="gave-up") for state in ("planned", "sending", "sent", "failed", "given-up")]
    for each in moves:
        told = story([each], pushes, names)
        assert "gave-up" not in "\n".join(told)


def test_a_pending_acknowledgement_is_told_as_pending() -> None:
    """Made at the office, not yet answered by the site."""
    line = pending_ack(Ack("id", "o", "wong", "seen", AT), labels(CATALOGUE, KEY, "en"))
    assert line == ("2025-11-22 14:03:00 +08:00  acknowledged by wong (office); the site has not answered yet: seen")


def test_unknown_things_are_called_by_their_ids() -> None:
    """Without a catalogue the story is told in ids and UTC."""
    lines = story(MOVES[:1], [], labels(None, KEY, "en"))
    assert lines[0] == "L01 (L01), lift-a1, hq: life safety"
    assert lines[1].startswith("2025-11-22 06:03:00 +00:00")


@pytest.mark.parametrize(
    ("micros", "words"),
    [(-5, "0 s"), (59 * SECOND, "59 s"), (61 * SECOND, "1 min 1 s"), (2 * HOUR + 5 * MINUTE + 9, "2 h 5 min")],
)
def test_spans_are_short_words(micros: int, words: str) -> None:
    """Seconds below a minute, minutes below an hour, hours above; never negative."""
    assert span(micros, "en") == words


def test_what_lies_over_an_alarm_is_told_in_its_own_words() -> None:
    """By whom and until when it was held back, that a raise was shown to nobody, and when it came into sight."""
    lee = Actor("lee", "technician", "site")
    e, f, g = AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT
    moves = [
        move(Cause.SHELVE, A, e, 0, actor=lee, note="painting", until=AT + HOUR, base=A),
        move(Cause.RAISE, e, e, 1, base=B),
        move(Cause.SUPPRESS, e, f, 2, base=B, by="link-1/GW20"),
        move(Cause.UNSUPPRESS, f, e, 3, base=B, by="link-1/GW20"),
        move(Cause.OUT, e, g, 4, actor=lee, base=B, until=AT + HOUR, by="Otis", detail="PTW-17"),
        move(Cause.RETURN, g, e, 5, actor=lee, base=B),
        move(Cause.SHELF_OVER, e, B, 6),
        move(Cause.COMMENT, B, B, 7, actor=lee, note="part ordered"),
    ]
    told = [line[27:] for line in story(moves, [], labels(CATALOGUE, KEY, "en"))[1:-1] if not line.startswith(" ")]
    assert told == [
        " shelved until 2025-11-22 15:03:00 +08:00 by lee (on site): painting",
        " raised (held back, announced to nobody)",
        " not shown while link-1/GW20 stands",
        " link-1/GW20 no longer hides it",
        " out of service until 2025-11-22 15:03:00 +08:00 by lee (on site); permit PTW-17, Otis answers for the work",
        " returned to service by lee (on site)",
        " the shelf's time is over; the condition is true: announced",
        " note by lee (on site): part ordered",
    ]
    for lang in ("zh-Hant", "zh-Hans"):
        assert len(story(moves, [], labels(CATALOGUE, KEY, lang))) == len(moves) + 2
