"""Samples to verdicts: one order of time for samples and timers, and work only where something changed."""

from collections.abc import Mapping, Sequence

from edge.rules.compiling import Rules
from edge.rules.instance import Instance, Verdict, decode_state
from edge.rules.nodes import Input
from edge.rules.timers import Timers
from sitekeeper.model.clock import Micros
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
        self._instances = [Instance(plan, place) for place, plan in enumerate(rules.plans)]
        self._by_key = {instance.plan.key: instance for instance in self._instances}
        self._routes: dict[int, list[tuple[Instance, Input]]] = {}
        self._timers = Timers(len(self._instances))
        self._pending = list(self._instances)
        self._out: list[Verdict] = []
        self._gone: dict[str, bytes | None] = {}
        for instance in self._instances:
            for name, point in instance.inputs.items():
                handle = instance.plan.device.points[name].handle
                self._routes.setdefault(handle, []).append((instance, point))
        for key, saved in state.items():
            self._restore(key, saved, as_of or 0)
        self._unsaved = dict.fromkeys(self._instances)  # all: saved times are on another clock than the next `as_of`

    def feed(self, samples: Sequence[Sample], now: Micros | None = None) -> list[Verdict]:
        """Take samples in order of time; return what was decided up to the last one, or up to `now` if given.

        A sample older than what was decided already counts as of `self.now`; see `in_order`.
        """
        routes, pending = self._routes, self._pending
        for sample in samples:
            if sample.at > self.now:
                self._move(sample.at)
                pending = self._pending
            known = sample.value if sample.q < 64 else None  # anything but good is unknown
            for instance, point in routes.get(sample.handle, ()):
                point.sample = sample
                if known != point.value:
                    point.value = known
                    instance.graph.mask |= point.up
                    if point.up and not instance.pending:
                        instance.pending = True
                        pending.append(instance)
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
        changed: dict[str, bytes | None] = {instance.plan.key: instance.save() for instance in self._unsaved}
        changed.update(self._gone)
        self._unsaved, self._gone = {}, {}
        return changed

    def resettable(self, rule: str, device: str) -> tuple[bool, bool]:
        """Return (condition is false, reset is allowed) for an alarm; one whose rule is gone may be reset."""
        instance = self._by_key.get(f"{device}/{rule}")
        return (True, True) if instance is None else instance.resettable()

    def _restore(self, key: str, saved: bytes, as_of: Micros) -> None:
        if key in self._by_key:
            self._by_key[key].restore(saved, as_of)
            return
        state = decode_state(saved)
        self._gone[key] = None
        if state.active:
            device, _, rule = key.rpartition("/")
            self._out.append(
                Verdict(rule, device, "clear", self.now, state.priority, {}, {}, "rule-gone", False, state.revision, "")
            )

    def _move(self, now: Micros) -> None:
        """Decide the moment that is over, then fire every timer up to and at `now`, in order of time."""
        self._settle_pending()
        while (ripe := self._timers.pop(now)) is not None:
            due, place = ripe
            instance = self._instances[place]
            instance.graph.wake(due)
            instance.evaluate(due, self._out)
            self._timers.set(place, instance.deadline)
            self._unsaved[instance] = None
        self.now = now

    def _settle_pending(self) -> None:
        pending, self._pending = self._pending, []
        now, out = self.now, self._out
        for instance in pending:
            if instance.evaluate(now, out):
                self._timers.set(instance.place, instance.deadline)
                self._unsaved[instance] = None

    def _take(self) -> list[Verdict]:
        taken, self._out = self._out, []
        return taken
