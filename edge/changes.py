"""From readings to changes: what is recorded and what rules see. Pure.

Each point has a state, and a sample is a change of it. The state is the driver's last outcome, unless something larger
speaks: its link failed, its group went unread for too long, or its device's heartbeat stands still. Then every point
of the group is bad, once, and comes back as a change when that is over. Freshness is kept per scan group, so a scan
that changed nothing costs the same for one point as for a thousand.

Coverage is kept beside it: per group, contiguous legs of time, each vouched for or a gap with its cause.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from drivers.base import Outcome, Scan
from sitekeeper.block import GapCause
from sitekeeper.model.clock import Micros
from sitekeeper.model.point import ONLINE, Point, ScanGroup, stale_after
from sitekeeper.model.quality import GOOD, Q, Reason, bad, is_good
from sitekeeper.model.sample import Sample, Value

Leg = tuple[GapCause | None, Micros]
"""How a stretch of a group's time is accounted for (None: vouched) and its monotonic end; it begins where the one
before ended."""

_CAUSES: Final[Mapping[Reason, GapCause]] = {
    Reason.COMM: GapCause.LINK_DOWN,
    Reason.REFUSED: GapCause.REFUSED,
    Reason.CONFIG: GapCause.CONFIGURATION,
}
_REFUSED: Final[Q] = bad(Reason.REFUSED)
_NEVER: Final[Micros] = 2**62
_POLLS_TO_RETURN: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A point that a living device keeps changing: if it stands still for `within`, all its points are stale."""

    handle: int
    within: Micros


@dataclass(slots=True)
class _Device:
    id: str
    online_handle: int | None
    heartbeat: Heartbeat | None
    groups: "list[_Group]" = field(default_factory=list)
    pulse_group: "_Group | None" = None
    online: bool | None = None
    good_polls: int = 0
    missed_polls: int = 0
    pulse: Value = None
    """Last good value of the heartbeat."""
    beat: Micros | None = None
    """When it last moved, or was last given the benefit of the doubt."""
    doubted: bool = False
    frozen: bool = False


@dataclass(slots=True)
class _Group:
    id: str
    device: _Device
    handles: tuple[int, ...]
    limit: Micros
    seen: Micros
    """Last scan of any outcome."""
    fresh: Micros | None = None
    """Last scan that can be vouched for: answered, not refused as a whole, and the device not frozen."""
    mask: Q | None = None
    """Why all points are bad, over what the driver last said."""
    cause: GapCause | None = GapCause.GATEWAY_OFF
    refused: int = 0
    legs: list[Leg] = field(default_factory=list)


class Changes:
    """The states of all points of one site. Every call takes the monotonic time and returns samples in order of time.

    Args:
        points: all points of the catalogue; a point's handle is its index.
        groups: all scan groups, in the catalogue's order.
        heartbeats: by device, where its profile names one.
        now: the start; a group not read within its staleness limit from here on is stale.
    """

    def __init__(
        self, points: Sequence[Point], groups: Sequence[ScanGroup], heartbeats: Mapping[str, Heartbeat], *, now: Micros
    ) -> None:
        self._deadbands = [point.deadband for point in points]
        self._current: list[Outcome | None] = [None] * len(points)
        self._recorded: list[Sample | None] = [None] * len(points)
        online = {point.device: point.handle for point in points if point.name == ONLINE}
        self._devices: dict[str, _Device] = {}
        self._groups: dict[str, _Group] = {}
        for group in groups:
            device = self._devices.get(group.device)
            if device is None:
                device = _Device(group.device, online.get(group.device), heartbeats.get(group.device))
                self._devices[group.device] = device
            limits = (points[handle].stale_after for handle in group.handles)
            limit = min(limits, default=stale_after(group.period))
            state = _Group(group.id, device, group.handles, limit, seen=now)
            device.groups.append(state)
            if device.heartbeat is not None and device.heartbeat.handle in group.handles:
                device.pulse_group = state
            self._groups[group.id] = state
        self._last = now
        self._wake = min((group.seen + group.limit for group in self._groups.values()), default=_NEVER)

    def accept(self, scan: Scan, now: Micros) -> list[Sample]:
        """Take one reading and return what it changed."""
        group = self._groups[scan.group]
        if scan.told:
            return self._told(group, scan)
        device = group.device
        thawed = self._take(group, scan) if scan.outcomes else False
        masked, group.mask, group.seen = group.mask, None, scan.received
        if device.frozen:
            samples = self._state(group, bad(Reason.STALE), now) if masked is not None else []
        elif thawed:
            handles = (handle for each in device.groups if each.mask is None for handle in each.handles)
            samples = self._restate(handles, scan)
        elif masked is not None:
            samples = self._restate(group.handles, scan)
        elif scan.outcomes:
            samples = self._restate((group.handles[outcome.index] for outcome in scan.outcomes), scan)
        else:
            samples = []
        if masked is not None or thawed:
            self._watch(group)
        if scan.answered:
            self._answered(group, scan.received, samples)
        else:
            self._open(group, GapCause.SILENT, now)
            self._missed(device, now, samples)
        return samples

    def _told(self, group: _Group, scan: Scan) -> list[Sample]:
        """Take what a device said unasked. It vouches for nothing, and ends no fault: the next reading does that."""
        thawed = self._take(group, scan)
        if thawed:
            self._watch(group)
            return self._restate((h for each in group.device.groups if each.mask is None for h in each.handles), scan)
        if group.device.frozen or group.mask is not None:
            return []
        return self._restate((group.handles[outcome.index] for outcome in scan.outcomes), scan)

    def failed(self, group_id: str, reason: Reason, now: Micros) -> list[Sample]:
        """Take note that a group could not be read at all; `COMM` means that its whole link is down."""
        group = self._groups[group_id]
        cause = _CAUSES.get(reason, GapCause.SILENT)
        if group.mask == bad(reason) and group.cause is cause:
            return []
        self._open(group, cause, now)
        samples = self._masked(group, bad(reason), now)
        if cause in (GapCause.LINK_DOWN, GapCause.SILENT):
            self._go(group.device, online=False, at=now, samples=samples)
        return samples

    def advance(self, now: Micros) -> list[Sample]:
        """Return what the passing of time alone changed: groups gone stale, heartbeats that stand still."""
        self._last = max(self._last, now)
        samples: list[Sample] = []
        if now < self._wake:
            return samples
        for device in self._devices.values():
            if _freezes_at(device) <= now:
                self._freeze(device, now, samples)
        for group in self._groups.values():
            if _stale_at(group) <= now:
                reason = Reason.STALE if group.cause is not GapCause.GATEWAY_OFF else Reason.NOT_YET
                self._open(group, GapCause.SILENT, now)
                samples += self._masked(group, bad(reason), now)
                self._missed(group.device, now, samples)
        freezing = min(map(_freezes_at, self._devices.values()), default=_NEVER)
        self._wake = min(freezing, min(map(_stale_at, self._groups.values()), default=_NEVER))
        return samples

    def next_deadline(self) -> Micros | None:
        """Return when `advance` must be called at the latest; it may find nothing to do then."""
        return None if self._wake == _NEVER else self._wake

    def good_until(self, group_id: str) -> Micros | None:
        """Return the monotonic time up to which the group can be vouched for; None if it never could."""
        return self._groups[group_id].fresh

    def legs(self, now: Micros) -> Iterator[list[Leg]]:
        """Yield, group by group, the legs closed since the last call and the one now running, up to now."""
        for group in self._groups.values():
            legs, group.legs = group.legs, []
            if group.cause is not None:
                legs.append((group.cause, now))
            elif group.fresh is not None:
                legs.append((None, group.fresh))
            yield legs

    def _take(self, group: _Group, scan: Scan) -> bool:
        """Store the outcomes; tell whether they brought a frozen device back to life."""
        heartbeat = group.device.heartbeat
        thawed = False
        for outcome in scan.outcomes:
            handle = group.handles[outcome.index]
            before = self._current[handle]
            group.refused += (outcome.q == _REFUSED) - (before is not None and before.q == _REFUSED)
            self._current[handle] = outcome
            if heartbeat is not None and heartbeat.handle == handle and is_good(outcome.q):
                thawed = self._pulse(group.device, outcome)
        return thawed

    def _pulse(self, device: _Device, outcome: Outcome) -> bool:
        moved = outcome.value != device.pulse
        if device.beat is None or moved or not device.doubted:
            # A value listed again unmoved comes after a time without answers. It may have come round by chance, so
            # patience starts anew, but only once until it moves.
            device.doubted = device.beat is not None and not moved
            device.beat = outcome.received
        device.pulse = outcome.value
        thawed = moved and device.frozen
        if thawed:
            device.frozen = False
        return thawed

    def _watch(self, group: _Group) -> None:
        """See to it that `advance` looks in time, now that the group is live again."""
        self._wake = min(self._wake, _stale_at(group), _freezes_at(group.device))

    def _answered(self, group: _Group, at: Micros, samples: list[Sample]) -> None:
        device = group.device
        device.missed_polls = 0
        if device.frozen:
            self._open(group, GapCause.SILENT, at)
            return
        if group.refused and group.refused == len(group.handles):
            self._open(group, GapCause.REFUSED, at)
        else:
            group.fresh = at
            if group.cause is not None:
                group.legs.append((group.cause, at))
                group.cause = None
                self._watch(group)
        if not device.online:
            device.good_polls += 1
            if device.online is None or device.good_polls >= _POLLS_TO_RETURN:
                self._go(device, online=True, at=at, samples=samples)

    def _missed(self, device: _Device, now: Micros, samples: list[Sample]) -> None:
        """Count a poll without an answer. One of several groups that never answers must not make the device flap."""
        device.good_polls = 0
        device.missed_polls += 1
        if device.online is None or device.missed_polls >= min(2, len(device.groups)):
            self._go(device, online=False, at=now, samples=samples)

    def _freeze(self, device: _Device, now: Micros, samples: list[Sample]) -> None:
        device.frozen = True
        for group in device.groups:
            if group.mask is None:
                self._open(group, GapCause.SILENT, now)
                samples += self._state(group, bad(Reason.STALE), now)
        self._go(device, online=False, at=now, samples=samples)

    def _go(self, device: _Device, *, online: bool, at: Micros, samples: list[Sample]) -> None:
        if not online:
            device.good_polls = 0
        if device.online is online:
            return
        device.online = online
        if device.online_handle is not None:
            samples.append(self._record(device.online_handle, at, online, GOOD, None))

    def _open(self, group: _Group, cause: GapCause, now: Micros) -> None:
        """Begin a gap, or go on with the one that is open."""
        if group.cause is cause:
            return
        if group.cause is not None:
            group.legs.append((group.cause, now))
        elif group.fresh is not None:
            group.legs.append((None, group.fresh))
        group.cause = cause

    def _masked(self, group: _Group, q: Q, now: Micros) -> list[Sample]:
        group.mask = q
        return self._state(group, q, now)

    def _state(self, group: _Group, q: Q, now: Micros) -> list[Sample]:
        """Make every point of the group bad."""
        samples = []
        for handle in group.handles:
            before = self._recorded[handle]
            if before is None or before.q != q:
                samples.append(self._record(handle, now, None, q, None))
        return samples

    def _restate(self, handles: Iterable[int], scan: Scan) -> list[Sample]:
        """Return a sample of each point whose state differs from the recorded one, in order of receipt."""
        changed = []
        for handle in handles:
            outcome, before = self._current[handle], self._recorded[handle]
            if outcome is not None and (before is None or _differ(before, outcome, self._deadbands[handle])):
                # An outcome of an earlier scan comes back because this one says that it still holds.
                at = outcome.received if outcome.received >= scan.asked else scan.received
                changed.append((at, handle, outcome))
        changed.sort(key=itemgetter(0))
        return [self._record(handle, at, outcome.value, outcome.q, outcome.source) for at, handle, outcome in changed]

    def _record(self, handle: int, at: Micros, value: Value, q: Q, source: Micros | None) -> Sample:
        # Two links may deliver out of order by the length of a request. Rules have then already acted on the later
        # time, so the earlier answer counts from there: the record says what rules saw, and a replay sees it again.
        self._last = max(self._last, at)
        sample = self._recorded[handle] = Sample(handle, self._last, value, q, source)
        return sample


def _differ(before: Sample, now: Outcome, deadband: float) -> bool:
    if now.q != before.q:
        return True
    if deadband and isinstance(now.value, int | float) and isinstance(before.value, int | float):
        return not abs(now.value - before.value) < deadband
    return now.value != before.value


def _stale_at(group: _Group) -> Micros:
    return _NEVER if group.mask is not None else group.seen + group.limit


def _freezes_at(device: _Device) -> Micros:
    """A heartbeat counts only while its own group is answered."""
    group = device.pulse_group
    if device.frozen or device.heartbeat is None or device.beat is None or group is None or group.cause is not None:
        return _NEVER
    return device.beat + device.heartbeat.within
