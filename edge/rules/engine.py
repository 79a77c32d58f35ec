"""Samples and events to verdicts: one order of time for them and for timers, and work only where something changed."""

import gc
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager

from edge.rules.compiling import Rules
from edge.rules.happenings import Happening
from edge.rules.instance import Designs, Instance, Plan, Verdict, decode_state
from edge.rules.member import Member, SetsAtWork, is_member
from edge.rules.points import Points
from edge.rules.rule import DeviceSpec
from edge.rules.timers import Timers
from sitekeeper.model.clock import Micros
from sitekeeper.model.event import Event
from sitekeeper.model.sample import Sample


def in_order(samples: Sequence[Sample], floor: Micros) -> list[Sample]:
    """Return the samples with no time before `floor` or before the sample in front of them.

    What arrives late is true from now on for rules and record alike, so it is stamped before it is given to either.
    """
    ordered: list[Sample] = []
    for sample in samples:
        floor = max(floor, sample.at)
        on_time = sample.at == floor
        ordered.append(sample if on_time else Sample(sample.handle, floor, sample.value, sample.q, sample.source))
    return ordered


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from walking again and again over what is being made; none of it is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Engine:
    """All rules of a site at work.

    A moment is decided when it is over: when a later sample comes, or when `now` is later. Until then `next_deadline`
    is one microsecond after it. So it does not matter how a stream of samples is cut into calls, and a rule never sees
    half of what one answer said.

    Args:
        rules: compiled for this site.
        state: what `dirty` returned, by instance key, collected over time.
        as_of: the moment, on the clock of that time, for which `state` is true; None if there is none.
        now: monotonic time of the start.

    Raises:
        FormatError: a state cannot be read.
    """

    def __init__(self, rules: Rules, *, state: Mapping[str, bytes], as_of: Micros | None, now: Micros) -> None:
        self.now = now
        plans = [plan for plan in rules.plans if plan.mode != "off"]
        with _uncollected():
            self._make(plans)
            for key, saved in state.items():
                self._restore(key, saved, as_of or 0)
        self._unsaved = dict.fromkeys(self._owners)  # all: saved times are on another clock than the next `as_of`

    def _make(self, plans: Sequence[Plan]) -> None:
        points = Points()
        self._sets = SetsAtWork(plans, points)
        self._first = len(self._sets.members)
        designs = Designs()
        self._instances: list[Instance] = []
        for place, plan in enumerate(plans, self._first):
            tallies = self._sets.tallies(plan)
            design = designs.of(plan, tallies)
            self._instances.append(Instance(plan, place, tallies, design, points.of(plan.device)))
        self._points = points.known
        self._by_key = {instance.key: instance for instance in self._instances}
        self._owners: list[Member | Instance] = [*self._sets.members, *self._instances]
        self._hearers: dict[str, list[tuple[Member | Instance, Happening]]] = {}
        self._timers = Timers(len(self._owners))
        self._pending = list(self._owners)
        self._out: list[Verdict] = []
        self._gone: dict[str, bytes | None] = {}
        for member in self._sets.members:
            self._connect(member, member.spec.device)
        for instance in self._instances:
            self._connect(instance, instance.plan.device)
            self._sets.connect(instance)

    def feed(self, records: Sequence[Sample | Event], now: Micros | None = None) -> list[Verdict]:
        """Take samples and events in order of time; return what was decided up to the last one, or `now` if given.

        One older than what was decided already counts as of `self.now`; see `in_order`. An event is a moment of its
        own even where its time is another record's too: what came before it is decided first, and then the event.
        """
        points, pending = self._points, self._pending
        for record in records:
            if record.at > self.now:
                self._move(record.at)
                pending = self._pending
            if isinstance(record, Event):
                self._happen(record)
                pending = self._pending
                continue
            if (point := points.get(record.handle)) is None:
                continue
            point.sample = record
            known = record.value if record.q < 64 else None  # anything but good is unknown
            if known != point.value:
                point.value = known
                for owner, up in point.readers:
                    owner.graph.mask |= up
                    if not owner.pending:
                        owner.pending = True
                        pending.append(owner)
        return self._take() if now is None else self.advance(now)

    def advance(self, now: Micros) -> list[Verdict]:
        """Let time pass up to `now`: decide the moment before it and fire the timers that are due."""
        if now > self.now:
            self._move(now)
        return self._take()

    def next_deadline(self) -> Micros | None:
        """Return when `advance` should be called at the latest."""
        return self.now + 1 if self._pending else self._timers.next()

    def dirty(self) -> dict[str, bytes | None]:
        """Return the states that changed since the last call, for the transaction of the verdicts; None: forget it."""
        changed: dict[str, bytes | None] = {owner.key: owner.save() for owner in self._unsaved}
        changed.update(self._gone)
        self._unsaved, self._gone = {}, {}
        return changed

    def standing(self, latched: Container[str] = ()) -> list[Verdict]:
        """Return, after a restart, the raise of every rule that is active and claims something: its claims stand.

        Args:
            latched: `<device>/<rule>` of the alarms that returned and wait for their reset; what their rules claim
                until then stands too.
        """
        found = (instance.standing(self.now, latched) for instance in self._instances)
        return [verdict for verdict in found if verdict is not None]

    def instance(self, rule: str, device: str) -> Instance | None:
        """Return a rule at work on a device, to be looked at; None if it is not run there."""
        return self._by_key.get(f"{device}/{rule}")

    def forget(self, rule: str, device: str) -> bool:
        """Let a rule forget what it has learned of a device; tell whether it learns anything there."""
        instance = self.instance(rule, device)
        if instance is None or not instance.forget():
            return False
        self._wake(instance)
        self._unsaved[instance] = None
        return True

    def resettable(self, rule: str, device: str) -> tuple[bool, bool]:
        """Return (condition is false, reset is allowed) for an alarm; one whose rule is gone may be reset."""
        instance = self._by_key.get(f"{device}/{rule}")
        return (True, True) if instance is None else instance.resettable()

    def _restore(self, key: str, saved: bytes, as_of: Micros) -> None:
        known = self._by_key.get(key) or self._sets.by_key.get(key)
        if known is not None:
            known.restore(saved, as_of)
            return
        self._gone[key] = None
        if is_member(key):
            return
        state = decode_state(saved)
        if state.active:
            device, _, rule = key.rpartition("/")
            self._out.append(
                Verdict(rule, device, "clear", self.now, state.priority, {}, {}, "rule-gone", False, state.revision, "")
            )

    def _connect(self, owner: Member | Instance, device: DeviceSpec) -> None:
        owner.graph.read_by(owner)
        for name, happening in owner.happenings.items():
            self._hearers.setdefault(f"{device.id}/{name}", []).append((owner, happening))

    def _happen(self, event: Event) -> None:
        """Decide what is before the event, then the event."""
        self._settle_pending()
        for owner, happening in self._hearers.get(event.source_id, ()):
            owner.graph.mask |= happening.tell(event)
            self._wake(owner)
        self._settle_pending(late=event.late)

    def _move(self, now: Micros) -> None:
        """Decide the moment that is over, then fire every timer up to and at `now`, in order of time."""
        self._settle_pending()
        while (due := self._timers.next()) is not None and due <= now:
            self.now = max(self.now, due)
            while (ripe := self._timers.pop(due)) is not None:
                owner = self._owners[ripe[1]]
                owner.graph.wake(due)
                self._wake(owner)
            self._settle_pending()
        self.now = now

    def _wake(self, owner: Member | Instance) -> None:
        if not owner.pending:
            owner.pending = True
            self._pending.append(owner)

    def _settle_pending(self, *, late: bool = False) -> None:
        if self._first:
            self._settle_members(late=late)
        pending, self._pending = self._pending, []
        now, out = self.now, self._out
        for instance in pending:
            if isinstance(instance, Instance) and instance.evaluate(now, out, late=late):
                self._timers.set(instance.place, instance.deadline)
                self._unsaved[instance] = None

    def _settle_members(self, *, late: bool) -> None:
        """Let the devices of sets answer first, so that whoever asks sees the answers of this moment."""
        members = [owner for owner in self._pending if isinstance(owner, Member)]
        self._pending = [owner for owner in self._pending if not isinstance(owner, Member)]
        for member in members:
            kept, moved = member.evaluate(self.now, late=late)
            if kept:
                self._timers.set(member.place, member.deadline)
                self._unsaved[member] = None
            for instance in self._sets.moved(member) if moved else ():
                self._wake(instance)

    def _take(self) -> list[Verdict]:
        taken, self._out = self._out, []
        return taken
