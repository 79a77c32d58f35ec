"""Blocks, catalogues and a source, for the tests of the sync."""

from collections.abc import Sequence

from cloud_sync.store.base import StoredTransition
from sitekeeper.block import Block, Gap, GapCause, Stream, Vouch, encode
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueGroup, CataloguePoint, catalogue_hash
from sitekeeper.catalogue import encode as encode_catalogue
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.clock import SECOND
from sitekeeper.model.event import Event
from sitekeeper.model.sample import Sample

SITE = "tower"
EPOCH = "e1"
T0 = 1_767_225_600 * SECOND
KEY = f"{SITE}/lift-a1/L01"


def catalogue(site: str = SITE) -> bytes:
    return encode_catalogue(
        Catalogue(
            site=site,
            names={"en": "Tower"},
            groups=(CatalogueGroup("lift-a1@1s", "lift-a1", SECOND),),
            devices=(CatalogueDevice("lift-a1", "lift", "sp-lift-1"),),
            points=(
                CataloguePoint("lift-a1/door", "lift-a1", "enum", "lift-a1@1s", members=("closed", "open")),
                CataloguePoint("lift-a1/floor", "lift-a1", "int", "lift-a1@1s"),
            ),
        )
    )


def block(stream: Stream, sequence: int, *, site: str = SITE, epoch: str = EPOCH, **more: object) -> Block:
    t0 = T0 + sequence * SECOND
    fields: dict[str, object] = {
        "site": site,
        "epoch": epoch,
        "stream": stream,
        "sequence": sequence,
        "boot": "b1",
        "catalogue": catalogue_hash(catalogue(site)),
        "trusted": True,
        "t0": t0,
        "mono0": sequence * SECOND,
    }
    match stream:
        case "samples":
            fields["samples"] = [
                Sample(1, sequence * SECOND, sequence * 2, 0),
                Sample(1, sequence * SECOND + 500_000, sequence * 2 + 1, 0),
            ]
            fields["vouch"] = [Vouch(0, t0 + SECOND, SECOND)]
        case "events":
            fields["events"] = [Event("lift-a1/note", sequence * SECOND, {"n": sequence})]
        case "alarms":
            fields["transitions"] = [transition(sequence)]
    return Block(**(fields | more))  # type: ignore[arg-type]


def transition(sequence: int, **more: object) -> Transition:
    """Raise on odd sequences, clear on even ones: one occurrence for each pair."""
    raised = sequence if sequence % 2 else sequence - 1
    up = bool(sequence % 2)
    fields: dict[str, object] = {
        "occurrence": f"{KEY}@{EPOCH}-{raised}",
        "key": KEY,
        "rule": "L01",
        "source": AlarmState.NORMAL if sequence < 3 else AlarmState.RETURNED,
        "target": AlarmState.UNACKED if up else AlarmState.RETURNED,
        "cause": Cause.RAISE if up else Cause.CLEAR,
        "priority": "P1",
        "at": T0 + sequence * SECOND,
        "mono": sequence * SECOND,
        "latched": False,
        "values": {"door": ("closed", 0)},
        "limits": {"stuck_for": "30s"},
    }
    if not up:
        fields["source"] = AlarmState.UNACKED
    return Transition(**(fields | more))  # type: ignore[arg-type]


def payload(stream: Stream, sequence: int, **more: object) -> bytes:
    return encode(block(stream, sequence, **more))  # type: ignore[arg-type]


def gap(start: int, end: int, cause: GapCause = GapCause.SILENT) -> Gap:
    return Gap("lift-a1@1s", T0 + start, T0 + end, cause)


class Source:
    """An outbox in memory with the interface that the uplink wants; history is kept, as the real one does."""

    def __init__(self, epoch: str = EPOCH) -> None:
        self.epoch = epoch
        self.blocks: dict[Stream, dict[int, bytes]] = {"alarms": {}, "events": {}, "samples": {}}
        self.released: dict[Stream, set[int]] = {"alarms": set(), "events": set(), "samples": set()}
        self.catalogues = {catalogue_hash(catalogue()): catalogue()}

    def add(self, stream: Stream, count: int = 1) -> None:
        for _ in range(count):
            sequence = self.next_sequence(stream)
            self.blocks[stream][sequence] = payload(stream, sequence, epoch=self.epoch)

    def next_sequence(self, stream: Stream) -> int:
        return len(self.blocks[stream]) + 1

    def unsent(self, stream: Stream) -> tuple[int, int, int]:
        waiting = self.blocks[stream].keys() - self.released[stream]
        return (min(waiting), max(waiting), len(waiting)) if waiting else (0, 0, 0)

    def read(self, stream: Stream, sequence: int, *, history: bool = False) -> bytes | None:
        if sequence in self.released[stream] and not history:
            return None
        return self.blocks[stream].get(sequence)

    def release(self, epoch: str, ranges: list[tuple[Stream, int, int]]) -> None:
        assert epoch == self.epoch
        for stream, start, end in ranges:
            for sequence in self.blocks[stream]:
                if start <= sequence <= end:
                    self.released[stream].add(sequence)

    def catalogue(self, catalogue_hash: str) -> bytes | None:
        return self.catalogues.get(catalogue_hash)

    def left(self) -> int:
        return sum(self.unsent(stream)[2] for stream in self.blocks)


class Listener:
    """What ingest tells, kept."""

    def __init__(self) -> None:
        self.moves: list[StoredTransition] = []
        self.signs: list[tuple[str, bool]] = []

    def applied(self, transitions: Sequence[StoredTransition]) -> None:
        self.moves += transitions

    def heard(self, site: str, *, online: bool) -> None:
        self.signs.append((site, online))
