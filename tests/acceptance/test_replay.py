"""The record is complete: from its blocks alone fresh rules and a fresh book make the same moves, byte by byte."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from edge.alarms import AlarmBook, encode
from edge.rules.engine import Engine
from edge.rules.instance import Verdict
from edge.settings import load as load_site
from sitekeeper.block import Block, Stream, decode
from sitekeeper.model.alarm import Cause, Transition
from sitekeeper.model.clock import SECOND, Micros, Moment
from tests import virtual, virtual_site
from tests.virtual_site import VirtualSite, select

MADE_BY_PEOPLE = {Cause.ACK, Cause.UNACK, Cause.RESET}


def blocks(outbox: Path, stream: Stream) -> list[Block]:
    """Return all blocks of a stream that an outbox file holds."""
    return [decode(row["payload"]) for row in select(outbox, f"SELECT payload FROM blocks_{stream} ORDER BY sequence")]


def recorded(outbox: Path) -> list[Transition]:
    """Return the moves as the site recorded them."""
    return [move for block in blocks(outbox, "alarms") for move in block.transitions]


def replayed(folder: Path) -> list[Transition]:
    """Return the moves that a fresh engine and a fresh book make of the samples of one boot.

    Of the alarms stream only what people did is taken, each act at the time at which it was recorded, and what the
    wall clock was by the monotonic one when each block was sealed: a real pair of clocks drifts.
    """
    site = load_site(folder)
    measured = blocks(folder / "outbox.db", "samples")
    assert len({block.boot for block in measured}) == 1, "one boot only"
    samples = [sample for block in measured for sample in block.samples]
    engine = Engine(site.rules, state={}, as_of=None, now=samples[0].at)
    end = max(measured[-1].mono0, samples[-1].at + 1)  # a moment is decided when it is over
    verdicts = [verdict for verdict in engine.feed(samples, end) if verdict.kind != "note"]
    acts = [move for move in recorded(folder / "outbox.db") if move.cause in MADE_BY_PEOPLE]
    offsets = {block.sequence: block.t0 - block.mono0 for block in blocks(folder / "outbox.db", "alarms")}
    return list(_moves(AlarmBook(site.id, measured[0].epoch), verdicts, acts, offsets))


def _moves(
    book: AlarmBook, verdicts: list[Verdict], acts: list[Transition], offsets: Mapping[int, Micros]
) -> Iterator[Transition]:
    """What is decided at one moment shares a block of the alarms stream; each act of a person has one of its own."""
    order = [(v.at, 0, v) for v in verdicts] + [(act.mono, n, act) for n, act in enumerate(acts, 1)]
    sequence = 1
    for _, together in groupby(sorted(order, key=lambda one: one[:2]), key=lambda one: one[:2]):
        moved = False
        for at, _, one in together:
            if isinstance(one, Transition):
                move: Transition | None = _act(book, one)
            else:
                move = book.apply(one, at + offsets.get(sequence, 0), sequence)
            if move is not None:
                moved = True
                yield move
        sequence += moved


def _act(book: AlarmBook, act: Transition) -> Transition:
    assert act.actor is not None
    now = Moment(mono=act.mono, wall=act.at)
    match act.cause:
        case Cause.ACK:
            return book.ack(act.occurrence, act.actor, act.note, act.ack_id, now)
        case Cause.UNACK:
            return book.unack(act.occurrence, act.actor, act.note, now)
        case _:
            return book.reset(act.occurrence, act.actor, act.note, now, condition_false=True, reset_allowed=True)


def assert_replays(folder: Path) -> list[Transition]:
    """Assert that the outbox of a site folder replays; return its moves."""
    before, after = recorded(folder / "outbox.db"), replayed(folder)
    for number, (old, new) in enumerate(zip(before, after, strict=False)):
        assert new == old, f"move {number}"
    assert encode(after) == encode(before)
    return before


async def s1(site: VirtualSite) -> None:
    """Acknowledge, take it back, acknowledge on site, and reset after the release."""
    await site.at(360)
    await site.ask("office", "alarm.ack", id="L01", note="on my way")
    await site.at(400)
    await site.ask("control", "alarm.unack", id="L01", note="wrong lift")
    await site.at(420)
    await site.technician("alarm.ack", id="L01", note="this one")
    await site.at(1260)
    await site.technician("alarm.clear", id="L01", note="released, 1 person")
    await site.at(1300)


@pytest.mark.parametrize("scenario", ["s1-lmon.yaml", "s1-sp.yaml"])
def test_s1_replays(tmp_path: Path, scenario: str) -> None:
    """S1 with acts of office and technician gives the same moves again, and those that the end of the link makes."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, scenario) as site:
            await s1(site)

    virtual.run(main())
    moves = assert_replays(tmp_path / "site")
    causes = [move.cause for move in moves if move.rule == "L01"]
    assert causes == [Cause.RAISE, Cause.ACK, Cause.UNACK, Cause.ACK, Cause.CLEAR, Cause.RESET]


def busy(seed: int) -> Mapping[str, Any]:
    """Two lifts in traffic, one behind a monitor, with stops, power failures, alarm buttons and silences."""
    story = [
        {"at": "60s", "do": {"stuck_outside_zone": {"people": 1}}},
        {"at": "150s", "do": {"release": True}},
        {"at": "200s", "do": {"fault": {"kind": "silence", "for": "90s"}}},
        {"at": "330s", "do": {"mains": "failed"}},
        {"at": "360s", "do": {"mains": "restored"}},
        {"at": "400s", "do": {"alarm_button": "40s"}},
        {"at": "500s", "do": {"stuck_outside_zone": {"people": 0}}},
        {"at": "510s", "do": {"fault": {"kind": "freeze", "for": "20s"}}},
        {"at": "560s", "do": {"inspection": True}},
        {"at": "620s", "do": {"inspection": False}},
        {"at": "640s", "do": {"release": True}},
    ]
    lift = {"floors": 12, "start_floor": 3, "traffic": "15s"}
    return {
        "title": "a bad quarter of an hour",
        "seed": seed,
        "links": [
            {"id": "one", "devices": [{"id": "lift-a1", "unit": 1, "face": "sp-lift-1", "lift": lift, "story": story}]},
            {"id": "two", "devices": [{"id": "lift-a2", "unit": 247, "face": "lmon", "lift": lift, "story": story}]},
        ],
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_quarter_of_an_hour_replays(tmp_path: Path, seed: int) -> None:
    """Faults of lifts and links at different phases, two devices, two links: every move comes again."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, busy(seed), phase=0.17 * seed) as site:
            await site.at(900)

    virtual.run(main())
    moves = assert_replays(tmp_path / "site")
    assert {move.rule for move in moves} >= {"L01", "L03", "L22", "L25"}, "a poor run proves little"
    assert len(moves) >= 15


def test_one_changed_sample_shows(tmp_path: Path) -> None:
    """Control: with the second movement of the trapped person taken out of the record the moves are others."""

    async def main() -> None:
        async with virtual_site.running(tmp_path, "s1-lmon.yaml") as site:
            await site.at(60)

    virtual.run(main())
    folder = tmp_path / "site"
    site, measured = load_site(folder), blocks(folder / "outbox.db", "samples")
    handle = next(point.handle for point in site.points if point.id == "lift-a1/passenger")
    samples = [s for b in measured for s in b.samples if s.handle != handle or s.at < 18 * SECOND or s.value is False]
    engine = Engine(site.rules, state={}, as_of=None, now=samples[0].at)
    assert {verdict.rule for verdict in engine.feed(samples, 58 * SECOND)} == {"L04"}
    assert {move.rule for move in assert_replays(folder)} >= {"L01"}
