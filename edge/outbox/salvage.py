"""From a damaged or foreign-made file to a new one: moved aside, never deleted; what can be read is carried over.

Every step can be cut short by a kill: the folder of the quarantine holds `UNFINISHED` until the new file is in place,
and the next start goes on from there. The new file is made beside its place and renamed into it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from edge.outbox import drops, ranges, rows, schema
from edge.outbox.drops import Drops
from edge.outbox.quarantine import BESIDE, UNFINISHED, leave_word, sync, word_of
from edge.outbox.remains import BlockRow, Remains
from edge.outbox.store import SALVAGE, Store
from sitekeeper import chain
from sitekeeper.block import STREAMS, Block, Gap, GapCause, Stream, decode, peek
from sitekeeper.catalogue import Catalogue, catalogue_hash
from sitekeeper.catalogue import decode as decode_catalogue
from sitekeeper.model.alarm import AlarmRecord, fold
from sitekeeper.model.clock import MS, Micros
from sitekeeper.model.errors import FormatError, StorageError

log = structlog.get_logger()

HISTORY_S: Final = 5.0
"""Seconds after which no more history is carried over, and none is looked for; it stays in the quarantine."""

_LISTED: Final = 100
"""Lost ranges that one event lists by their numbers; more take more events."""

_NEAR: Final = 60
"""Blocks on each side of a lost range in which the ends of its coverage are looked for."""


_APART: Final = 8
"""Lost ranges that are told one by one: beyond it the two oldest become one, with what lies between them."""

_UNVOUCHED: Final = 100 * MS
"""A block may hold changes so long after the end of its vouches, which lie on the recorder's grid."""


def refuse_foreign(path: Path, site: str) -> None:
    """Make sure that a damaged file is not another site's, as far as it can still say so.

    Raises:
        StorageError: it is; it was left as it is.
    """
    remains = Remains(path, schema.PAGE, time.monotonic())
    whose = remains.meta.get("site", site)
    remains.close()
    if whose != site:
        msg = f"{path}: this is the outbox of site {whose}, not of {site}; it was left as it is. {schema.REMEDY}"
        raise StorageError(msg)


def rebuild(
    path: Path, folder: Path, site: str, make_epoch: Callable[[], str] | None, own: bytes | None = None
) -> None:
    """Make a new file at `path` from what can be read in `folder`; `own` is the site's catalogue as of now.

    Raises:
        StorageError: the disk refused; the next start tries again.
    """
    fresh = path.with_name(path.name + ".new")
    began = time.monotonic()
    try:
        for end in BESIDE:
            fresh.with_name(fresh.name + end).unlink(missing_ok=True)
        why = (folder / UNFINISHED).read_text(encoding="utf-8", errors="replace")
        store = Store(fresh, site, make_epoch)
        remains = Remains(folder / path.name, schema.PAGE, began + HISTORY_S)
        try:
            word = word_of(_Salvage(remains, store, site, own).carry(why))
        finally:
            remains.close()
            store.close(clean=True)
        fresh.replace(path)
        sync(path.parent)
        leave_word(folder, word)
        (folder / UNFINISHED).unlink()
    except OSError as error:
        msg = f"{path}: cannot save the outbox from {folder}: {error.strerror}"
        raise StorageError(msg) from error
    facts = {"old_epoch": word.epoch, "alarms": word.alarms, "lost": word.lost, "saved": word.saved}
    seconds = round(time.monotonic() - began, 1)
    log.error("outbox was damaged and has been saved", why=why, quarantine=str(folder), seconds=seconds, **facts)


@dataclass
class _Stream:
    """What became of one stream of the old epoch."""

    found: dict[int, Callable[[], BlockRow]]
    released: ranges.Ranges = ()
    lost: ranges.Ranges = ()
    waiting: int = 0


@dataclass
class _Salvage:
    remains: Remains
    store: Store
    site: str
    own: bytes | None = None
    epoch: str = ""
    catalogues: dict[str, Catalogue | None] = field(default_factory=dict)

    def carry(self, why: str) -> list[dict[str, Any]]:
        """Carry everything over; leave the events that tell of it, and return them."""
        remains, store = self.remains, self.store
        known = remains.catalogues()
        if self.own is not None:
            known[catalogue_hash(self.own)] = self.own
        store.put("catalogues", list(known.items()))
        self.catalogues = {key: _catalogue(payload) for key, payload in known.items()}
        streams = {stream: _Stream(remains.blocks(stream)) for stream in STREAMS}
        self.epoch = remains.meta.get("epoch") or _epoch_of(streams.values())
        self._place(streams)
        alarms = self._alarms(streams["alarms"])
        until = self._until(streams["samples"])
        self._audit()
        store.put("salvaged", self._earlier())
        store.put("salvaged", self._blocks(streams, waiting=True))
        store.put("salvaged", self._history(streams))
        events = [
            self._event(stream, each, each.lost[n : n + _LISTED], why, alarms)
            for stream, each in streams.items()
            for n in range(0, max(len(each.lost), 1), _LISTED)
        ]
        untold = self._drops(streams["samples"], until)
        store.put_drops(untold)
        store.put("meta", [(SALVAGE, msgspec.json.encode(events).decode())])
        return events

    def _place(self, streams: Mapping[Stream, _Stream]) -> None:
        """Find out, for each stream, what the office has and what nobody has any more."""
        for stream, first, last in self.remains.state("released")[0]:
            if stream in streams:
                each = streams[stream]
                each.released = ranges.add(each.released, first, last)
        dropped = self.remains.state("dropped")[0]
        for stream, each in streams.items():
            there = each.released
            for first, last, *_ in dropped if stream == "samples" else ():
                there = ranges.add(there, first, last)
            for first, last in _runs(each.found):
                there = ranges.add(there, first, last)
            each.lost = ((1, there[-1][1]),) if there else ()
            for first, last in there:
                each.lost = ranges.remove(each.lost, first, last)
            each.waiting = sum(not ranges.contains(each.released, sequence) for sequence in each.found)

    def _alarms(self, stream: _Stream) -> str:
        """Carry over alarms and the state of rules, both or neither; return what was done, in a word.

        A rule that remembers having raised an alarm which is not there would never raise it again. So where the alarms
        are not surely whole, the rules begin anew and raise whatever is true; until then an alarm is unknown.
        """
        alarms, alarms_whole = self.remains.state("alarms")
        state, state_whole = self.remains.state("rule_state")
        as_of = self.remains.meta.get("as_of")
        if alarms_whole and state_whole and as_of is not None:
            self.store.put("alarms", alarms)
            self.store.put("rule_state", state)
            self.store.put("meta", [("as_of", as_of)])
            return "kept"
        records: dict[str, AlarmRecord] = {}
        for _, read in sorted(stream.found.items()):
            for move in _decoded(read()[4], "alarms").transitions:
                records[move.key] = fold(records.get(move.key), move)
        encoded = {key: msgspec.json.encode(record).decode() for key, record in records.items()}
        self.store.put("alarms", list((encoded | dict(alarms)).items()))
        return "check_site"

    def _until(self, samples: _Stream) -> dict[str, Micros]:
        """Carry over up to when each scan group is accounted for, from the table or else from the last blocks.

        Of a group that neither tells of, it is the end of the newest block: a later start must not begin its account.
        """
        found, _ = self.remains.state("group_until")
        last = _edges(
            (_decoded(samples.found[n]()[4]) for n in sorted(samples.found)[-200:]), self.catalogues, last=True
        )
        until = last | dict(found)
        own = None if self.own is None else _catalogue(self.own)
        if own is not None and samples.found:
            newest = samples.found[max(samples.found)]()[3]
            until = {group.id: newest for group in own.groups} | until
        self.store.put("group_until", list(until.items()))
        return until

    def _audit(self) -> None:
        head, linked = chain.GENESIS, []
        for n, record in enumerate(self.remains.audit(), start=1):
            head = chain.link(head, record)
            linked.append((n, record, head))
        self.store.put("audit", linked)

    def _earlier(self) -> Iterator[rows.Row]:
        yield from self.remains.salvaged()

    def _blocks(self, streams: Mapping[Stream, _Stream], *, waiting: bool) -> Iterator[rows.Row]:
        """Yield blocks without a receipt in their order, or the others, newest first."""
        for stream, each in streams.items():
            for sequence in sorted(each.found, reverse=not waiting):
                if ranges.contains(each.released, sequence) is not waiting:
                    row = each.found[sequence]()
                    yield (self.epoch, stream, *row[:4], 0 if waiting else 1, row[4])

    def _history(self, streams: Mapping[Stream, _Stream]) -> Iterator[rows.Row]:
        for row in self._blocks(streams, waiting=False):
            if time.monotonic() > self.remains.until:
                return
            yield row

    def _event(self, stream: Stream, each: _Stream, lost: ranges.Ranges, why: str, alarms: str) -> dict[str, Any]:
        return {
            "old_epoch": self.epoch,
            "stream": stream,
            "lost": ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in lost),
            "lost_blocks": ranges.size(lost),
            "saved_blocks": each.waiting,
            "alarms": alarms,
            "why": why[:300],
        }

    def _drops(self, samples: _Stream, until: Mapping[str, Micros]) -> Drops:
        """Return what is to be told of times that nobody accounts for now: of drops not told before, of lost blocks."""
        times, states = self.remains.state("dropped_groups")[0], self.remains.state("dropped_state")[0]
        try:
            untold = Drops.of_rows({"dropped": [], "dropped_groups": times, "dropped_state": states})
        except msgspec.DecodeError:
            untold = Drops()
        present = sorted(samples.found)
        gaps: list[Gap] = []
        unknown: dict[str, list[Micros]] = {}
        points = [point for known in self.catalogues.values() if known is not None for point in known.points]
        groups = {point.id: point.group for point in points}
        for first, last in drops.bounded(samples.lost, _APART):
            before = [n for n in present if first - _NEAR <= n < first]
            behind = [n for n in present if last < n <= last + _NEAR]
            left = _edges((_decoded(samples.found[n]()[4]) for n in before), self.catalogues, last=True)
            right = _edges((_decoded(samples.found[n]()[4]) for n in behind), self.catalogues, last=False)
            gaps += [
                Gap(group, start, max(start, right.get(group, start)) + _UNVOUCHED, GapCause.DROPPED)
                for group, start in left.items()
            ]
            for point in (point for point, group in groups.items() if group in left):
                unknown.setdefault(point, []).append(max(left[groups[point]], right.get(groups[point], 0)))
        tail = _edges((_decoded(samples.found[n]()[4]) for n in present[-_NEAR:]), self.catalogues, last=True)
        return untold.with_times([*gaps, *_between(tail, until)], unknown)


def _between(left: Mapping[str, Micros], right: Mapping[str, Micros]) -> list[Gap]:
    return [
        Gap(group, start, right[group], GapCause.DROPPED)
        for group, start in left.items()
        if start < right.get(group, start)
    ]


def _edges(blocks: Iterable[Block], known: Mapping[str, Catalogue | None], *, last: bool) -> dict[str, Micros]:
    """Return per scan group the last time that blocks account for, or the first."""
    found: dict[str, Micros] = {}
    for block in blocks:
        for gap in drops.intervals(block, known.get(block.catalogue)):
            time_ = gap.end if last else gap.start
            found[gap.group] = (max if last else min)(time_, found.get(gap.group, time_))
    return found


def _decoded(payload: bytes, stream: Stream = "samples") -> Block:
    """Return a block; an empty one for bytes that are none: another program's, or a newer one's."""
    try:
        return decode(payload)
    except FormatError:
        return Block(site="", epoch="", stream=stream, sequence=1, boot="", catalogue="", trusted=False, t0=0, mono0=0)


def _catalogue(payload: bytes) -> Catalogue | None:
    try:
        return decode_catalogue(payload)
    except FormatError:
        return None


def _epoch_of(streams: Iterable[_Stream]) -> str:
    """Return the epoch by any block that tells it."""
    for each in streams:
        for read in islice(each.found.values(), 10):
            try:
                return peek(read()[4]).epoch
            except FormatError:
                continue
    return "unknown"


def _runs(found: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges that cover exactly these numbers."""
    first = last = None
    for number in sorted(found):
        if last is None or first is None or number != last + 1:
            if first is not None and last is not None:
                yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last
