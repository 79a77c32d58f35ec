"""Flipped bytes and cut files: the outbox starts, saves what it can, tells what is lost, and never gives a wrong value.

40 seeds in the test tier; with SITEKEEPER_FULL=1 (`make faults`) 500. What was saved is compared with what was written,
not with anything that the outbox says of itself.
"""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from edge.outbox import Outbox
from sitekeeper.block import STREAMS, Stream
from sitekeeper.model.clock import SECOND, ManualClock
from tests.outbox_content import GROUPS, HASH, SITE, START, Content, write

SEEDS = 500 if os.environ.get("SITEKEEPER_FULL") == "1" else 40
SECONDS, PAGE, FRAME = 120, 1024, 1048
SLOWEST_S = 10.0
LEAST_SAVED = 0.95

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass
class Original:
    """An outbox before the damage: its folder, what was written, and on which page each block lies."""

    folder: Path
    content: Content
    files: dict[str, bytes]
    places: dict[tuple[Stream, int], tuple[str, int]]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Original]:
    """One that was stopped well, and one that was killed with a third of its content in the log."""
    return [original(tmp_path_factory.mktemp("outbox"), clean=clean) for clean in (True, False)]


def original(folder: Path, *, clean: bool) -> Original:
    content = write(folder / "outbox.db", seconds=SECONDS, clean=clean)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    places = {}
    for stream in STREAMS:
        for sequence, payload in content.blocks[stream].items():
            places[stream, sequence] = place(files, payload)
    return Original(folder, content, files, places)


def place(files: dict[str, bytes], payload: bytes) -> tuple[str, int]:
    """Return the file and the page (in the log: the frame) that hold the newest copy of a block."""
    log = files.get("outbox.db-wal", b"")
    if (at := log.rfind(payload)) >= 0:
        return "outbox.db-wal", (at - 32) // FRAME
    return "outbox.db", files["outbox.db"].index(payload) // PAGE


def damage(random: Random, source: Original, folder: Path) -> tuple[str, set[int]]:
    """Copy the files with damage to one of them; return which, and the pages that were touched."""
    name = random.choice([name for name in source.files if not name.endswith("-shm")])
    for each, data in source.files.items():
        (folder / each).write_bytes(data)
    data = bytearray(source.files[name])
    head, page = (32, FRAME) if name.endswith("-wal") else (0, PAGE)
    if random.random() < 0.25:
        cut = random.randrange(len(data))
        (folder / name).write_bytes(data[:cut])
        return name, set(range((cut - head) // page, len(data) // page + 1))
    flips = [random.randrange(len(data)) for _ in range(random.randint(1, 16))]
    for at in flips:
        data[at] ^= random.randint(1, 255)
    (folder / name).write_bytes(data)
    return name, {(at - head) // page for at in flips}


def present(outbox: Outbox, content: Content) -> Iterator[tuple[Stream, int, bytes]]:
    """Yield every block of the old epoch that there is, wherever it is kept."""
    for stream in STREAMS:
        for sequence in range(1, len(content.blocks[stream]) + 5):
            payload = outbox.read_salvaged(content.epoch, stream, sequence)
            if payload is None and outbox.epoch == content.epoch:
                payload = outbox.read(stream, sequence, history=True)
            if payload is not None:
                yield stream, sequence, payload


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_damaged_outbox_starts_and_keeps_what_is_sound(seed: int, originals: list[Original], tmp_path: Path) -> None:
    """It starts within 10 s, gives no wrong value, has 95 % of the blocks on untouched pages, and tells the others."""
    random = Random(seed)
    source = originals[seed % len(originals)]
    content = source.content
    name, touched = damage(random, source, tmp_path)
    began = time.monotonic()
    outbox = Outbox.open(tmp_path / "outbox.db", site=SITE, clock=ManualClock(), inline=True)
    try:
        assert time.monotonic() - began < SLOWEST_S
        found = {(stream, sequence): payload for stream, sequence, payload in present(outbox, content)}
        wrong = [key for key, payload in found.items() if content.blocks[key[0]].get(key[1]) != payload]
        assert wrong == []
        untouched = [key for key, where in source.places.items() if where[0] != name or where[1] not in touched]
        saved = sum(key in found for key in untouched)
        assert saved >= LEAST_SAVED * len(untouched), f"{saved} of {len(untouched)} on untouched pages"
        judge_state(outbox, content)
        judge_telling(outbox, source, found)
    finally:
        outbox.close()
    shutil.rmtree(tmp_path)


def judge_state(outbox: Outbox, content: Content) -> None:
    """What is there of alarms, rules and times is what was written, as it was last or, told so, as it was before."""
    state, note = outbox.state(), outbox.untold()
    kept = note is None or not note.salvage or note.salvage[0]["alarms"] == "kept"
    for record in state.alarms:
        assert record.key in content.alarms
        assert record.priority == content.alarms[record.key].priority
    if note is None:
        assert {record.key: record for record in state.alarms} == content.alarms
        assert state.rule_state == content.rule_state
        assert state.group_until == content.until
    assert kept or state.rule_state == {}
    assert set(state.rule_state) <= set(content.rule_state)
    assert all(state.group_until[group] <= content.until[group] for group in state.group_until)
    tail = outbox.audit_tail()
    assert set(tail) <= set(content.audit)
    assert tail == sorted(tail, key=content.audit.index)


def received(content: Content, stream: Stream, sequence: int) -> bool:
    """Tell whether the office has a block: its loss is none."""
    last = {"samples": content.released, "events": content.released // 10, "alarms": 0}
    return sequence <= last[stream]


def judge_telling(outbox: Outbox, source: Original, found: dict[tuple[Stream, int], bytes]) -> None:
    """Whatever is not there is told: by sequence, or, where even that is lost, by a new epoch."""
    lost = {key for key in source.places if key not in found and not received(source.content, *key)}
    if outbox.epoch == source.content.epoch:
        assert not lost
        return
    note = outbox.untold()
    assert note is not None
    assert {each["old_epoch"] for each in note.salvage} <= {source.content.epoch, "unknown"}
    assert list(outbox._store.path.parent.glob("outbox.db.quarantine-*"))
    left = [n for stream, n in found if stream == "samples"] if outbox.catalogue(HASH) is not None else []
    between = range(min(left, default=0), max(left, default=0))  # before the first, the beginning is not known
    for n in (n for stream, n in lost if stream == "samples" and n in between):
        end = START + n * SECOND
        assert len([g for g in note.gaps if g.start <= end - SECOND and end <= g.end]) == len(GROUPS), n
    for event in note.salvage:
        stream, told = event["stream"], event["lost_blocks"]
        inside = [n for name, n in lost if name == stream and n < max((k for s, k in found if s == stream), default=0)]
        assert told < 0 or told >= len(inside), f"{told} of {len(inside)} lost {stream} told"
