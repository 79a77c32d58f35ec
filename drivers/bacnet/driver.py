"""BACnet devices on one port: asks what the plan says, decodes what changed, and has an outcome for every point.

An answer is compared as a whole with the last one; if equal, that is all. If not, only properties whose own bytes
changed are decoded. An error for one property touches the points of that property and no others.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from drivers.bacnet.captured import captured, identity
from drivers.bacnet.doubles import ASK_EVERY, Doubles
from drivers.bacnet.groups import Block, Group, Target, prepared, targets, to_tell
from drivers.bacnet.listening import Listening, Watched
from drivers.bacnet.message import Reference, Refusal, Wrong, read_multiple, read_single
from drivers.bacnet.names import reference_text
from drivers.bacnet.notice import IAm
from drivers.bacnet.options import BacnetDevice, IpLink
from drivers.bacnet.plan import Request, halved
from drivers.bacnet.stack import Nak, Stack
from drivers.bacnet.station import FOR_GOOD, UNKNOWN_PROPERTY, Station
from drivers.base import DeviceRead, Scan, Sink
from drivers.captured import Octets
from drivers.lookup import find
from drivers.memory import Memory
from sitekeeper.model.clock import SECOND, Clock, Micros
from sitekeeper.model.errors import DeviceRefused, DeviceSilent, FieldError, LinkDown, ReplyMismatch
from sitekeeper.model.quality import Reason, bad
from sitekeeper.model.sample import Value

log = structlog.get_logger()

ASK_APART: Final = 0.5
"""Seconds between asking who has one instance and asking who has the next."""


@dataclass(slots=True)
class _Tally:
    """One scan under way."""

    received: Micros
    waiting: deque[Block]
    heard: bool
    answered: bool = True
    gone: bool = False
    errors: list[FieldError] = field(default_factory=list)


class BacnetDriver:
    """A `drivers.base.Driver` for all devices on one BACnet/IP port."""

    def __init__(self, link: IpLink, devices: Sequence[DeviceRead], clock: Clock, memory: Memory | None = None) -> None:
        self._stack = Stack(link)
        self._clock = clock
        self._stations: dict[tuple[str, int], Station] = {}
        self._groups: dict[str, Group] = {}
        self._targets: dict[str, Target] = {}
        self._of_device: dict[str, Station] = {}
        watched: dict[tuple[str, int], Watched] = {}
        for device in devices:
            station = self._of_device[device.id] = self._station(device, link.timeout)
            station.keep(memory, device.id)
            for read in device.groups:
                group = self._groups[read.id] = prepared(device, read, station)
                self._targets |= targets(device, group)
            station.subscriptions.want(to_tell(device))
        for group in self._groups.values():
            if group.station.subscriptions:
                each = watched.setdefault(group.station.key, Watched(group.station))
                for reference in group.cells.keys() | group.worth.watched:
                    each.groups.setdefault(reference, []).append(group)
        self._listening = Listening(watched, self._out_of_turn, clock)
        self._stack.on_notice = self._listening.take
        self._stack.on_i_am = self._introduced
        known: dict[int, frozenset[str]] = {link.instance: frozenset()}
        for address, instance in self._stations:
            known[instance] = known.get(instance, frozenset()) | {address}
        self._doubles = Doubles(known)

    def _station(self, device: DeviceRead, timeout: Micros) -> Station:
        options = device.options
        assert isinstance(options, BacnetDevice)
        made = Station(self._stack, options, self._clock, timeout)
        station = self._stations.setdefault(made.key, made)
        station.also(options)
        return station

    async def open(self) -> None:
        for station in self._stations.values():
            station.begin()
        for group in self._groups.values():
            group.memory.forget()
            group.planned_for = None
        await self._stack.open()

    async def write(self, device: str, point: str, value: Value, priority: int) -> None:
        target = find(f"{device}/{point}", self._targets, "a point that can be written:")
        if not 1 <= priority <= 16:
            raise ValueError(f"priority {priority} is not one of 1 to 16")
        group, reference, encode = target
        data = encode(value)
        request = f"write {reference_text(*reference)} {data.hex(' ')} priority {priority}"
        try:
            declined = await group.station.write(reference, data, priority)
        except FieldError as error:
            error.device, error.request, error.last_good = device, request, group.last_good
            raise
        if declined is not None:
            endpoint, what = group.station.endpoint, str(declined)
            refusal = DeviceRefused(
                what, exception_code=declined.code, endpoint=endpoint, device=device, request=request
            )
            refusal.last_good = group.last_good
            raise refusal

    async def close(self) -> None:
        await self._stack.close()

    async def listen(self, sink: Sink) -> None:
        asking = asyncio.create_task(self._ask_who(), name=f"who-is {self._stack.endpoint}")
        try:
            await self._listening.run(sink)
        finally:
            asking.cancel()
            await asyncio.wait((asking,))

    async def _ask_who(self) -> None:
        """Ask who has the instances of this site, again and again, so that a second one gives itself away."""
        with contextlib.suppress(LinkDown):  # whoever reads finds it too, and says so
            await self._ask_on()

    async def _ask_on(self) -> None:
        while True:
            for instance in sorted(self._doubles.known):
                await asyncio.sleep(ASK_APART)
                self._stack.ask_who(instance)
            await asyncio.sleep(ASK_EVERY / SECOND)

    def report(self, device: str) -> Mapping[str, object]:
        station = find(device, self._of_device, "device")
        found: dict[str, object] = {"largest_message": station.max_apdu, "single_reads": station.single}
        if station.subscriptions:
            found["cov"] = [station.subscriptions.report()]
        doubled = self._doubles.others(station.key[1], self._clock.monotonic())
        return found | ({"also_at": ", ".join(doubled)} if doubled else {})

    async def captured(self, device: str) -> Octets:
        """As `Captured.captured`."""
        return captured(group for group in self._groups.values() if group.device == device)

    async def identity(self, device: str) -> Mapping[str, str]:
        """As `Identified.identity`: the device is asked, if it is there."""
        return await identity(find(device, self._of_device, "device"))

    def doubled(self) -> int:
        """Return how many instances, of this site's devices and of the gateway itself, somebody else claims too."""
        return self._doubles.count(self._clock.monotonic())

    def _introduced(self, source: str, said: IAm) -> None:
        self._listening.restarted((source, said.instance))
        if self._doubles.heard(said.instance, source, self._clock.monotonic()):
            log.warning(
                "device instance is claimed twice", instance=said.instance, also=source, link=self._stack.endpoint
            )

    def requests(self, group_id: str) -> tuple[Request, ...]:
        """Return the requests by which a group is read as things stand."""
        group = self._group(group_id)
        group.prepare()
        return tuple(block.request for block in group.blocks)

    async def read(self, group_id: str) -> Scan:
        return await self._out_of_turn(self._group(group_id))

    async def _out_of_turn(self, group: Group) -> Scan:
        async with group.turn:
            return await self._read(group)

    def _group(self, group_id: str) -> Group:
        return find(group_id, self._groups, "scan group")

    async def _read(self, group: Group) -> Scan:
        now = self._clock.monotonic()
        group.begin()
        group.memory.begin(now)
        tally = _Tally(now, deque(), heard=False)
        try:
            tally.heard = await group.station.meet(group.memory.group.id)
        except (DeviceSilent, ReplyMismatch) as error:
            return self._nothing(group, tally, error)
        group.prepare()
        if group.memory.complete:
            for block in group.blocks:
                block.forget()
        tally.waiting.extend(group.due(now))
        await self._work(group, tally)
        if tally.answered:
            group.silences, group.last_good = 0, self._clock.wall()
            if group.station.subscriptions.read(group.cells, tally.received):
                self._listening.wake()
            await group.station.remember()
        return group.memory.finish(tally.received, answered=tally.answered, errors=tally.errors)

    def _nothing(self, group: Group, tally: _Tally, error: FieldError) -> Scan:
        """The device is not there, or is another one: no point of the group can be read."""
        tally.received = self._clock.monotonic()
        reason = Reason.COMM if isinstance(error, DeviceSilent) else Reason.MISMATCH
        group.silences += 1
        for index in range(len(group.memory.group.points)):
            group.memory.note(index, None, bad(reason), tally.received)
        error.device, error.count, error.last_good = group.device, group.silences, group.last_good
        return group.memory.finish(tally.received, answered=False, errors=[error])

    async def _work(self, group: Group, tally: _Tally) -> None:
        workers = min(group.station.in_flight, len(tally.waiting))
        if workers <= 1:
            await self._worker(group, tally)
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(workers):
                    tasks.create_task(self._worker(group, tally), name=f"{group.memory.group.id} {number}")
        except ExceptionGroup as several:
            raise several.exceptions[0] from None

    async def _worker(self, group: Group, tally: _Tally) -> None:
        while tally.waiting:
            block = tally.waiting.popleft()
            try:
                answer = await group.station.ask(group.memory.group.id, block.request)
                tally.received, tally.heard = self._clock.monotonic(), True
                self._take(group, tally, block, answer)
            except DeviceSilent as error:
                tally.received = self._clock.monotonic()
                self._silent(group, tally, block, error)
            except (DeviceRefused, ReplyMismatch) as error:
                tally.answered = tally.answered and isinstance(error, DeviceRefused)
                _failed(group, tally, block, error)

    def _take(self, group: Group, tally: _Tally, block: Block, answer: bytes | Nak) -> None:
        """Use an answer; raises what the whole request has come to nothing by."""
        if isinstance(answer, Nak):
            smaller = group.station.smaller(block.request, answer)
            if smaller:
                take = group.halve if (answer.kind, answer.code) in FOR_GOOD else group.replace
                tally.waiting.extendleft(reversed(take(block, smaller)))
            elif group.beside(block):
                group.lack(block.request.references)
            else:
                raise _refused(group, block, str(answer), answer.code)
            return
        if answer != block.last:
            _decode(group, tally, block, answer)
        group.answered(block, tally.received)
        refused = [(one, part) for one, part in zip(block.request.references, block.parts, strict=True)
                   if isinstance(part, Refusal)]  # fmt: skip
        if refused:
            if len(refused) < len(block.parts):  # else it is the object that is not there, or not yet
                group.lack(one for one, part in refused if part.code == UNKNOWN_PROPERTY)
            refused = [(one, part) for one, part in refused if one in group.cells]
        block.failures = block.failures + 1 if refused else 0
        for reference, part in refused:
            what = f"error {part.code}, {_text(part)}"
            error = _refused(group, block, what, part.code, reference)
            error.raw = answer[:300]
            tally.errors.append(error)

    def _silent(self, group: Group, tally: _Tally, block: Block, error: DeviceSilent) -> None:
        """Without a word from the device the rest is not asked: each request would cost its neighbours a time-out.

        One that answers, and not this request, may have dropped it as too long: it is asked for less the next time.
        """
        tally.answered = False
        if tally.heard:
            _failed(group, tally, block, error)
            if len(block.request.items) > 1:
                group.replace(block, halved(block.request))
            return
        group.silences += not tally.gone  # of several in flight the first has counted it
        tally.gone = True
        _failed(group, tally, block, error, count=group.silences)
        group.skip(block)
        group.station.forget()
        for rest in tally.waiting:
            _bad(group, rest, Reason.COMM, tally.received)
        tally.waiting.clear()


def _decode(group: Group, tally: _Tally, block: Block, answer: bytes) -> None:
    references = block.request.references
    found = read_single(answer, references[0]) if len(references) == 1 else read_multiple(answer, references)
    if isinstance(found, Wrong):
        endpoint, request = group.station.endpoint, _request_text(block)
        raise ReplyMismatch(found.what, endpoint=endpoint, request=request, raw=answer[:300])
    kept = frozenset() if group.memory.complete else group.newer
    parts = [
        last if reference in kept else part
        for reference, part, last in zip(references, found, block.parts, strict=True)
    ]
    news = [(reference, part) for reference, part, last in zip(references, parts, block.parts, strict=True)
            if part is not None and part != last]  # fmt: skip
    watched, worth = group.worth.watched, group.worth
    other = {each[:2] for each, part in news if each in watched and worth.take(each, part)}
    for reference, part in news:
        if isinstance(part, bytes):
            group.station.subscriptions.seen(reference, part, tally.received)
        for index, value, q in group.outcomes(reference, part):
            group.memory.note(index, value, q, tally.received)
    block.last, block.parts = answer, parts
    if other:
        for index, value, q in group.of(other):
            group.memory.correct(index, value, q, tally.received)


def _failed(group: Group, tally: _Tally, block: Block, error: FieldError, count: int = 0) -> None:
    """Make the points of one request bad, and complete the error with what only the driver knows."""
    block.failures += 1
    error.device, error.count, error.last_good = group.device, count or block.failures, group.last_good
    error.request = error.request or _request_text(block)
    tally.errors.append(error)
    reasons = {DeviceRefused: Reason.REFUSED, DeviceSilent: Reason.COMM, ReplyMismatch: Reason.MISMATCH}
    _bad(group, block, reasons[type(error)], tally.received)


def _bad(group: Group, block: Block, reason: Reason, now: Micros) -> None:
    block.forget()
    for reference in block.request.references:
        for index, _ in group.cells.get(reference, ()):
            group.memory.note(index, None, bad(reason), now)


def _refused(group: Group, block: Block, what: str, code: int, reference: Reference | None = None) -> DeviceRefused:
    request = reference_text(*reference) if reference else _request_text(block)
    error = DeviceRefused(
        what, exception_code=code, endpoint=group.station.endpoint, device=group.device, request=request
    )
    error.count, error.last_good = max(1, block.failures), group.last_good
    return error


def _text(refusal: Refusal) -> str:
    return str(Nak("error", refusal.code, refusal.error_class)).partition(", ")[2]


def _request_text(block: Block) -> str:
    first, *rest = block.request.references
    return reference_text(*first) + (f" and {len(rest)} more" if rest else "")
