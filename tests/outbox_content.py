"""An outbox with real content, as a kill leaves it: file, log and index; and what was in it, for comparison."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from edge.outbox import AsOf, Limits, Outbox
from edge.recorder import SealedBlock
from sitekeeper import catalogue
from sitekeeper.block import STREAMS, Block, Stream, Vouch, encode
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueGroup, CataloguePoint
from sitekeeper.model.alarm import AlarmRecord, AlarmState, Cause, Transition, fold
from sitekeeper.model.clock import MS, SECOND, ManualClock, Micros
from sitekeeper.model.event import Event
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample

SITE, BOOT = "harbour", "b0"
GROUPS = tuple(f"lift-a{n}@1s" for n in range(4))
CATALOGUE = Catalogue(
    site=SITE,
    devices=tuple(CatalogueDevice(f"lift-a{n}", "lift", "sp-lift-1") for n in range(4)),
    groups=tuple(CatalogueGroup(group, group.partition("@")[0], SECOND) for group in GROUPS),
    points=tuple(
        CataloguePoint(f"lift-a{n}/p{k}", f"lift-a{n}", "float", GROUPS[n]) for n in range(4) for k in range(10)
    ),
    rules=(),
)
ENCODED = catalogue.encode(CATALOGUE)
HASH = catalogue.catalogue_hash(ENCODED)
START: Micros = ManualClock().wall() // (100 * MS) * (100 * MS)


@dataclass
class Content:
    """What was written: payloads by stream and sequence, and the tables of state."""

    epoch: str
    blocks: dict[Stream, dict[int, bytes]] = field(default_factory=lambda: {stream: {} for stream in STREAMS})
    alarms: dict[str, AlarmRecord] = field(default_factory=dict)
    rule_state: dict[str, bytes] = field(default_factory=dict)
    until: dict[str, Micros] = field(default_factory=dict)
    audit: list[bytes] = field(default_factory=list)
    released: int = 0


def block(epoch: str, stream: Stream, sequence: int, n: int, **records: object) -> SealedBlock:
    """Return the n-th second's block."""
    t0 = START + n * SECOND
    made = Block(
        site=SITE, epoch=epoch, stream=stream, sequence=sequence, boot=BOOT, catalogue=HASH, trusted=True,
        t0=t0, mono0=n * SECOND, **records,  # type: ignore[arg-type]
    )  # fmt: skip
    times = [made.wall(s.at) for s in made.samples] + [made.wall(e.at) for e in made.events]
    times += [t.at for t in made.transitions]
    payload = encode(made)
    return SealedBlock(stream=stream, sequence=sequence, payload=payload, count=len(times), t0=min(times, default=t0),
                       t1=max(times, default=t0))  # fmt: skip


def samples(epoch: str, sequence: int, n: int) -> SealedBlock:
    """Return a second of changes of all four lifts, with its coverage."""
    found = [Sample((n * 7 + k) % 40, n * SECOND + k, n * 1000 + k, GOOD, None) for k in range(20)]
    vouch = [Vouch(group, START + n * SECOND, SECOND) for group in range(4)]
    return block(epoch, "samples", sequence, n, samples=found, vouch=vouch)


def move(epoch: str, n: int, sequence: int) -> Transition:
    key = f"{SITE}/lift-a{n % 4}/L{n % 20:02}"
    return Transition(
        occurrence=f"{key}@{epoch}-{sequence}", key=key, rule=f"L{n % 20:02}", source=AlarmState.NORMAL,
        target=AlarmState.UNACKED, cause=Cause.RAISE, priority="P2", at=START + n * SECOND, mono=n * SECOND,
        latched=False, detail="stands between floors",
    )  # fmt: skip


def write(path: Path, *, seconds: int, clean: bool, limits: Limits | None = None) -> Content:
    """Write `seconds` of a small site; unless `clean`, the files at `path` are as a kill leaves them, log and all."""
    live = path.with_name("live.db")
    outbox = Outbox.open(live, site=SITE, clock=ManualClock(), inline=True, limits=limits or Limits())
    content = Content(outbox.epoch)
    outbox.put_catalogue(ENCODED)
    for n in range(1, seconds + 1):
        _second(outbox, content, n)
        if n == seconds * 2 // 3:  # the log begins anew, so that file and log both hold what the other does not
            outbox._store._connection.execute("PRAGMA wal_checkpoint(FULL)")
        if n == seconds // 2:
            outbox.release(outbox.epoch, [("samples", 1, n // 2), ("events", 1, n // 20)])
            content.released = n // 2
    if clean:
        outbox.close()
    for end in ("", "-wal", "-shm"):
        if live.with_name(live.name + end).exists():
            shutil.copyfile(live.with_name(live.name + end), path.with_name(path.name + end))
    outbox.close()
    for left in live.parent.glob("live.db*"):
        left.unlink()
    return content


def _second(outbox: Outbox, content: Content, n: int) -> None:
    blocks = [samples(content.epoch, n, n)]
    moves: list[Transition] = []
    if n % 10 == 0:
        event = Event(f"lift-a{n % 4}/note", n * SECOND, {"text": f"note {n}"})
        blocks.append(block(content.epoch, "events", n // 10, n, events=[event]))
    if n % 5 == 0:
        moves = [move(content.epoch, n, n // 5)]
        blocks.append(block(content.epoch, "alarms", n // 5, n, transitions=moves))
    records = [fold(content.alarms.get(m.key), m) for m in moves]
    state = {f"L{k:02}/lift-a{n % 4}": f"state {n} {k}".encode() * 3 for k in range(3)}
    until = dict.fromkeys(GROUPS, START + n * SECOND)
    audit = [f"row {n}".encode()] if n % 7 == 0 else []
    as_of = AsOf(wall=START + n * SECOND, mono=n * SECOND, boot=BOOT)
    outbox.append(blocks, alarms=records, rule_state=state, as_of=as_of, until=until, audit=audit)
    for each in blocks:
        content.blocks[each.stream][each.sequence] = each.payload
    content.alarms |= {record.key: record for record in records}
    content.rule_state |= state
    content.until |= until
    content.audit += audit
