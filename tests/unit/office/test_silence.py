"""GW01: when a site counts as silent, and what the office makes of it."""

import pytest

from office.own_alarms import OwnAlarm
from office.silence import RULE, Silence, silence_key
from sitekeeper.model.alarm import AlarmRecord, AlarmState, Cause, fold
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import Refused

START = 1_000 * SECOND
AT = 1_800_000_000 * SECOND


def test_a_site_is_silent_after_the_limit_and_only_once() -> None:
    """Not at 59 s, once at 60 s, and not again while the silence lasts."""
    silence = Silence(["hq"], [], START)
    assert silence.advance(START + 59 * SECOND) == []
    assert silence.advance(START + 60 * SECOND) == ["hq"]
    assert silence.advance(START + 600 * SECOND) == []


def test_any_sign_of_life_starts_the_limit_again() -> None:
    """Heard at 30 s, the site is silent at 90 s and not before; the next deadline says so."""
    silence = Silence(["hq"], [], START)
    assert not silence.heard("hq", START + 30 * SECOND)
    assert silence.next_deadline() == START + 90 * SECOND
    assert silence.advance(START + 89 * SECOND) == []
    assert silence.advance(START + 90 * SECOND) == ["hq"]


def test_a_site_never_heard_does_not_exist() -> None:
    """Without any site there is no deadline and nobody is silent; the first message makes a site."""
    silence = Silence([], [], START)
    assert silence.next_deadline() is None
    assert silence.advance(START + 10**9) == []
    silence.heard("hq", START)
    assert silence.advance(START + 60 * SECOND) == ["hq"]


def test_hearing_a_silent_site_ends_its_silence_once() -> None:
    """The first message after a silence clears it; the second has nothing to clear."""
    silence = Silence(["hq"], [], START)
    silence.advance(START + 60 * SECOND)
    assert silence.heard("hq", START + 61 * SECOND)
    assert not silence.heard("hq", START + 62 * SECOND)
    assert silence.advance(START + 122 * SECOND) == ["hq"]


def test_a_restarted_office_waits_and_does_not_raise_again() -> None:
    """A site silent before the restart is not announced again; one that was not gets the full limit."""
    silence = Silence(["hq", "pier"], ["hq"], START)
    assert silence.advance(START + 59 * SECOND) == []
    assert silence.advance(START + 60 * SECOND) == ["pier"]
    assert silence.heard("hq", START + 61 * SECOND)


def test_an_office_without_its_broker_blames_no_site() -> None:
    """An hour without a broker is no silence of the sites; the full limit runs anew after it."""
    silence = Silence(["hq", "pier"], ["pier"], START)
    for second in range(0, 3_601, 5):
        silence.listens(START + second * SECOND, hears=False)
        assert silence.advance(START + second * SECOND) == []
    silence.listens(START + 3_601 * SECOND, hears=True)
    assert silence.advance(START + 3_659 * SECOND) == []
    assert silence.advance(START + 3_660 * SECOND) == ["hq"]
    assert silence.heard("pier", START + 3_661 * SECOND)


def test_a_revoked_site_is_expected_no_more_and_its_alarm_ends() -> None:
    """Neither raised later nor left standing; when it has joined again its silence counts again."""
    silence = Silence(["hq", "pier"], ["pier"], START)
    silence.forget({"hq", "pier"})
    assert silence.untold() == [("pier", False)]
    assert silence.advance(START + 600 * SECOND) == []
    assert silence.next_deadline() is None
    silence.heard("hq", START + 600 * SECOND)
    assert silence.advance(START + 660 * SECOND) == ["hq"]


def test_what_could_not_be_told_is_told_later_or_not_at_all() -> None:
    """While the store is away nothing is forgotten: a silence is told after it, one that is over meanwhile is not."""
    silence = Silence(["hq", "pier", "annex"], ["annex"], START)
    silence.advance(START + 60 * SECOND)
    silence.heard("annex", START + 60 * SECOND)
    assert silence.untold() == [("annex", False), ("hq", True), ("pier", True)]
    silence.heard("pier", START + 61 * SECOND)
    assert silence.untold() == [("annex", False), ("hq", True)]
    for site, silent in silence.untold():
        silence.told(site, silent=silent)
    assert silence.untold() == []
    silence.heard("hq", START + 62 * SECOND)
    assert silence.untold() == [("hq", False)]


def alarm(record: AlarmRecord | None = None) -> OwnAlarm:
    return OwnAlarm(site="hq", rule=RULE, priority="P2", record=record, fresh_epoch="office-new")


def test_the_alarm_runs_through_the_same_machine_as_any_other() -> None:
    """Raise, clear, acknowledge: B, D, A; one occurrence; the epoch is the office's own."""
    raised = alarm().move(Cause.RAISE, sequence=1, at=AT, mono=START)
    record = fold(None, raised)
    assert raised.occurrence == "hq/gateway/GW01@office-new-1"
    assert (raised.key, raised.target, raised.priority) == (silence_key("hq"), AlarmState.UNACKED, "P2")
    cleared = alarm(record).move(Cause.CLEAR, sequence=2, at=AT + 1, mono=START + 1)
    record = fold(record, cleared)
    assert (cleared.occurrence, record.state) == (raised.occurrence, AlarmState.RETURNED)
    acked = alarm(record).move(
        Cause.ACK, sequence=3, at=AT + 2, mono=START + 2, actor=Actor("wong", "operator", "office"), note="line cut"
    )
    record = fold(record, acked)
    assert (record.state, record.acked_by, acked.note) == (AlarmState.NORMAL, "wong", "line cut")


def test_an_alarm_keeps_the_epoch_of_its_earlier_life() -> None:
    """After a restart the site's GW01 goes on in the epoch of its record, so that its sequence keeps the order."""
    record = fold(None, alarm().move(Cause.RAISE, sequence=7, at=AT, mono=START))
    again = OwnAlarm(site="hq", rule=RULE, priority="P2", record=record, fresh_epoch="office-other")
    assert again.epoch == "office-new"
    assert alarm().epoch == "office-new"


def test_a_second_raise_of_what_stands_is_refused() -> None:
    """The machine knows no raise from B."""
    record = fold(None, alarm().move(Cause.RAISE, sequence=1, at=AT, mono=START))
    with pytest.raises(Refused):
        alarm(record).move(Cause.RAISE, sequence=2, at=AT, mono=START)
