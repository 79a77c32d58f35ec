"""The record is complete for what holds alarms back too: veils, shelves and their ends come again from inputs and acts.

The rules are run by the time machine on the outbox alone; a fresh book makes the moves. Of the alarms in the record
only what people did is taken.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from edge.alarm_moves import facts_of
from edge.alarms import AlarmBook
from edge.backtest.record import Record
from edge.backtest.run import run
from edge.moves import Moves
from edge.outbox.reader import Reader
from edge.rules.instance import Verdict
from edge.settings import Site
from edge.settings import load as load_site
from sitekeeper.model.alarm import Cause, Transition
from sitekeeper.model.clock import Micros, Moment
from sitekeeper.story import because, labels, story
from tests import virtual, virtual_site
from tests.virtual_site import VirtualSite

LIFT = {"floors": 12, "start_floor": 3, "traffic": "15s"}
SILENT = {"do": {"fault": {"kind": "silence", "for": "150s"}}}
STORY = [
    {"at": "20s", "do": {"mains": "failed"}},
    {"at": "110s", "do": {"mains": "restored"}},
    {"at": "130s", **SILENT},
]
SCENARIO: Mapping[str, Any] = {
    "title": "a supply that fails, and a line that is gone",
    "seed": 3,
    "links": [
        {
            "id": "one",
            "devices": [
                {"id": "lift-a1", "unit": 1, "face": "sp-lift-1", "lift": LIFT, "story": STORY},
                {"id": "lift-a2", "unit": 2, "face": "sp-lift-1", "lift": LIFT, "story": [{"at": "130s", **SILENT}]},
            ],
        }
    ],
}


class Kept:
    """A recorder that keeps moves, and numbers blocks of alarms as the real one does."""

    def __init__(self) -> None:
        self.moves: list[Transition] = []
        self._sequence = 1

    def next_sequence(self, _stream: str) -> int:
        return self._sequence

    def transitions(self, moves: tuple[Transition, ...], _now: Moment) -> None:
        self._sequence += 1
        self.moves += moves

    def events(self, *_: object) -> list[Any]:
        return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose line fails for both lifts at once, and an alarm that is shelved for half a minute."""
    place = tmp_path_factory.mktemp("held")

    async def acts(site: VirtualSite) -> None:
        await site.at(40)
        await site.ask("control", "alarm.shelve", id="L22", **{"for": "30s"}, note="electrician at work")
        await site.at(85)
        await site.ask("control", "alarm.ack", id="L22", note="seen")
        await site.at(360)

    async def main() -> None:
        async with virtual_site.running(place, SCENARIO, packs=["gateway"]) as site:
            await acts(site)

    virtual.run(main())
    return place / "site"


@dataclass(frozen=True)
class Both:
    """The moves that rules, people and time made: as recorded, and as made again."""

    site: Site
    before: list[Transition]
    again: list[Transition]


@pytest.fixture(scope="module")
def both(folder: Path) -> Both:
    """The record of the site, replayed."""
    site = load_site(folder)
    with Reader(folder / "outbox.db") as reader:
        record = Record(reader.catalogue, {point.id: point for point in site.points})
        verdicts = run(record.pieces(reader.record()), site.rules).verdicts
    ids = {rule.id for rule in site.rules.rules}
    before = [move for move in record.transitions if move.rule in ids]
    kept = Kept()
    first = before[0]
    start = Moment(mono=0, wall=first.at - first.mono, trusted=True)
    book = AlarmBook(
        site.id, first.occurrence.rpartition("@")[2].partition("-")[0], (), facts_of(site.rules.plans), start
    )
    moves = Moves(book, kept)  # type: ignore[arg-type]
    people = [move for move in before if move.actor is not None]
    for at, together in in_order([verdict for _, verdict in verdicts], people):
        while (due := book.next_deadline()) is not None and due <= at:
            moves.due(Moment(mono=due, wall=start.wall + due, trusted=True))
        now = Moment(mono=at, wall=start.wall + at, trusted=True)
        if isinstance(together, Transition):
            kept.transitions((act(book, together, now, kept.next_sequence("alarms")),), now)
        else:
            moves.of(together, now)
    return Both(site, before, kept.moves)


def in_order(verdicts: list[Verdict], acts: list[Transition]) -> Iterator[tuple[Micros, list[Verdict] | Transition]]:
    """Return the verdicts of each moment together, and each act by itself."""
    groups: list[tuple[Micros, list[Verdict] | Transition]] = [
        (at, list(group)) for at, group in groupby(verdicts, key=lambda verdict: verdict.at)
    ]
    return iter(sorted([*groups, *((one.mono, one) for one in acts)], key=lambda pair: pair[0]))


def act(book: AlarmBook, done: Transition, now: Moment, sequence: int) -> Transition:
    """Do again what a person did."""
    assert done.actor is not None
    if done.cause is Cause.SHELVE:
        return book.shelve(done.key, done.until - done.at, done.actor, done.note, now, sequence)
    assert done.cause is Cause.ACK
    return book.ack(done.occurrence, done.actor, done.note, done.ack_id, now)


def nameless(moves: list[Transition]) -> list[Transition]:
    """Return moves with their occurrences counted by alarm: the blocks that name them are the recorder's business."""
    known: dict[str, dict[str, int]] = {}
    found = []
    for move in moves:
        of_key = known.setdefault(move.key, {})
        number = of_key.setdefault(move.occurrence, len(of_key))
        found.append(replace(move, occurrence=str(number)))
    return sorted(found, key=lambda move: (move.mono, move.key, move.cause))


def test_veils_and_shelves_come_again(both: Both) -> None:
    """Every move of every alarm, with who suppresses it and until when it is shelved, to the microsecond."""
    before, again = both.before, both.again
    causes = {(move.rule, move.cause) for move in before}
    assert causes >= {
        ("GW20", Cause.RAISE), ("L25", Cause.SUPPRESS), ("L25", Cause.UNSUPPRESS), ("L22", Cause.SHELVE),
        ("L22", Cause.SHELF_OVER), ("L22", Cause.CLEAR),
    }, "a poor run proves little"  # fmt: skip
    for old, new in zip(nameless(before), nameless(again), strict=False):
        assert new == old
    assert len(again) == len(before)


@pytest.mark.parametrize("lang", ["en", "zh-Hant", "zh-Hans"])
def test_every_alarm_says_why_from_what_was_decided(both: Both, lang: str) -> None:
    """The story of a raise stands on the move alone: its points by name with their values, its limits, what held."""
    site = both.site
    plans = {plan.key: plan for plan in site.rules.plans}
    raised = [move for move in both.again if move.cause is Cause.RAISE]
    assert {move.rule for move in raised} >= {"GW20", "L22", "L25"}
    for move in raised:
        plan, names = plans[move.key.partition("/")[2]], labels(site.catalogue, move.key, lang)
        told = "\n".join(story([move], (), names))
        assert move.values
        assert [name for name in move.values if names.points[name] not in told] == []
        assert [limit for limit in move.limits.values() if limit not in told] == []
        held = set(move.detail.split(", ")) - {""}
        assert held <= plan.rule.named.keys()
        assert because(move.rule, move.detail, move.limits, lang) in told
