"""From a condition in time to verdicts: on-delay, levels, off-delay, and `unless`, which turns a raise into a note.

    idle   -- a level's condition held for its `after` --------------> active: "raise"
    idle   -- the same while `unless` is true -----------------------> idle: "note", once until that ends
    active -- another level is now the most severe that is reached --> active: "level"
    active -- the condition false for the off-delay -----------------> idle: "clear"

`unless` keeps a rule from raising; an alarm that is active goes on by its own condition. Unknown moves nothing and
stops every watch. A level that is no longer reached gives way to the most severe that still is; if none is, it stays.
"""

from typing import Any, Final, Literal, NamedTuple

from edge.rules.nodes import Keeper, Node
from edge.rules.stopwatch import Stopwatch
from sitekeeper.model.alarm import Priority
from sitekeeper.model.clock import Micros
from sitekeeper.model.sample import Value

VerdictKind = Literal["raise", "clear", "level", "note"]


class Level(NamedTuple):
    """A priority that is reached once the rule's condition, and `when` if given, have held for `after`."""

    priority: Priority
    after: Micros
    when: Node | None = None


class Progress(NamedTuple):
    """What a watch shows, how much is wanted, when that will be (None: it stands), and whether it was reached."""

    shown: Micros
    of: Micros
    due: Micros | None
    reached: bool


_NEVER: Final = Stopwatch()
"""The watch over the note of a rule without `unless`: what it follows is never true, so one stands for all."""


class Decision(Keeper):
    """The last node of every rule. Verdicts are put into `made`, to be taken away after each settling."""

    __slots__ = (
        "_idle",
        "_levels",
        "_note_after",
        "_noted",
        "_off",
        "_off_delay",
        "_reached",
        "_watches",
        "active",
        "made",
        "priority",
        "unless",
        "when",
    )

    def __init__(self, when: Node, unless: Node | None, levels: tuple[Level, ...], off_delay: Micros) -> None:
        """`levels`: the most severe first."""
        conditions = [level.when for level in levels if level.when is not None]
        super().__init__(when, *(() if unless is None else (unless,)), *conditions)
        self.when = when
        self.unless = unless
        self._levels = levels
        self._off_delay = off_delay
        self._note_after = min(level.after for level in levels)
        self._watches = tuple([Stopwatch() for _ in levels])
        self._reached = (False,) * len(levels)
        self._off = Stopwatch()
        self._idle = _NEVER if unless is None else Stopwatch()
        self._noted = False
        self.active = False
        self.priority: Priority = self._levels[-1].priority
        self.made: tuple[tuple[VerdictKind, Priority], ...] = ()

    def compute(self, now: Micros) -> Value:
        when = self.when.value
        unless = False if self.unless is None else self.unless.value
        self._follow_levels(when, False if self.active else unless, now)
        self._rise_or_fall()
        self._off.follow(_not(when) if self.active else False, now)
        if self.active and when is False and self._off.read(now) >= self._off_delay:
            self.active = False
            self._off.follow(value=False, now=now)
            self.made += (("clear", self.priority),)
        self._take_note(_and(when, unless) if not self.active else False, now)
        self.due = self._next_due()
        return None

    def _follow_levels(self, when: Value, unless: Value, now: Micros) -> None:
        allowed = _and(when, _not(unless))
        for place, (level, watch) in enumerate(zip(self._levels, self._watches, strict=True)):
            holds = allowed if level.when is None else _and(allowed, level.when.value)
            watch.follow(holds, now)
            reached = self._reached[place] if holds is None else holds and watch.read(now) >= level.after
            if reached != self._reached[place]:
                self._reached = (*self._reached[:place], reached, *self._reached[place + 1 :])

    def _rise_or_fall(self) -> None:
        for level, reached in zip(self._levels, self._reached, strict=True):
            if reached:
                if not self.active:
                    self.made += (("raise", level.priority),)
                elif level.priority != self.priority:
                    self.made += (("level", level.priority),)
                self.active, self.priority = True, level.priority
                return

    def _take_note(self, holds: Value, now: Micros) -> None:
        self._idle.follow(holds, now)
        if holds is False:
            self._noted = False
        elif holds and not self._noted and self._idle.read(now) >= self._note_after:
            self._noted = True
            self.made += (("note", self._levels[0].priority),)

    def _next_due(self) -> Micros | None:
        dues = [
            watch.due(level.after)
            for level, watch, reached in zip(self._levels, self._watches, self._reached, strict=True)
            if not reached
        ]
        dues.append(self._off.due(self._off_delay))
        if not self._noted:
            dues.append(self._idle.due(self._note_after))
        return min((due for due in dues if due is not None), default=None)

    def progress(self, now: Micros) -> list[tuple[Level, Progress]]:
        """Return what each level waits for, the most severe first."""
        return [
            (level, Progress(watch.read(now), level.after, None if reached else watch.due(level.after), reached))
            for level, watch, reached in zip(self._levels, self._watches, self._reached, strict=True)
        ]

    def going(self, now: Micros) -> Progress | None:
        """Return what it waits for before it is over; None where that has not begun."""
        if not self.active or self.when.value is True:
            return None
        return Progress(self._off.read(now), self._off_delay, self._off.due(self._off_delay), reached=False)

    def delays(self) -> tuple[Stopwatch, ...]:
        return (*self._watches, self._idle)

    def save(self) -> object:
        watches = [watch.save() for watch in (*self._watches, self._off, self._idle)]
        return self.active, self.priority, self._noted, self._reached, watches

    def restore(self, saved: Any, as_of: Micros) -> None:
        self.active, self.priority, self._noted, reached, watches = saved
        self._reached = tuple(reached)
        for watch, memory in zip((*self._watches, self._off, self._idle), watches, strict=True):
            watch.restore(memory, as_of)


def _not(value: Value) -> bool | None:
    return None if value is None else not value


def _and(left: Value, right: Value) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True
