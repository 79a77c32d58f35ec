"""To push or not to push: one pure function with a named reason for every no (sync.md section 7)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from cloud_sync.store.base import Digest
from sitekeeper.model.alarm import HELD_BACK, Cause, Priority, Transition, annunciates
from sitekeeper.model.clock import Micros

OFFICE_EPOCH: Final = "office-"
"""Epochs of alarms that the office itself raises begin so; a site's epoch never does."""

BUNDLED: Final[tuple[Priority, ...]] = ("P3", "P4")
"""Priorities that are told together in a flood, and once in a while where an alarm comes and goes."""

SENT_TO: Final = "send: "
"""A decision to send is recorded as this and the channels' ids; one not to send as its reason."""

STEP: Final = "#"
"""In an event id: before the number of a step of the ladder, or of a digest; no id of a site has it."""

TOLD_BY: Final = "~"
"""Between epoch and boot of what a site told from memory (`cloud_sync.store.volatile`)."""


class Reason(StrEnum):
    """Why nothing is sent. Stable words: stored in the push log and shown to people."""

    NOT_ANNUNCIATING = "not-annunciating"  # nothing that wants attention anew
    HELD_BACK = "held-back"  # raised, but shelved, suppressed or out of service
    WATCH_MODE = "watch-mode"  # the rule is only being watched
    ALREADY_SENT = "already-sent"  # every channel of the route is finished with this event
    ALREADY_ACKNOWLEDGED = "already-acknowledged"  # a person has it
    SITE_SILENT = "site-silent"  # follows from the silence of the site, which is pushed itself
    NOT_ROUTED = "not-routed"  # no channel is named for this priority
    GAVE_UP = "gave-up"  # tried for as long as the settings say
    HISTORY = "history"  # out of a site's history, long after it happened (`cloud_sync.store.late`)
    RECORD_MISSING = "record-missing"  # the transition is no longer in the store
    DRILL = "drill"  # raised as part of a drill
    AUDIENCE = "not-for-this-channel"  # for security alone, and no channel is security's
    CHILD = "follows-from-another"  # it follows from an alarm of the same device that stands
    FLOOD = "flood"  # told with others: more comes than people can take in
    CHATTER = "chattering"  # told once in a while: it comes and goes
    CONDITION_OVER = "condition-over"  # nobody is called later for what is over, held back or replaced by now


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One committed transition with what the office knows that bears on pushing it.

    Attributes:
        number: of the transition in the store. committed: the office's wall time at which it came.
        event_id: see `event_id` and `step_id`.
        acknowledged: it was acknowledged after this annunciation, at the site or (still pending) at the office.
        finished: ids of the channels that need no further attempt.
        site_silent: the site's own silence alarm (GW01) stands.
        resent: it came out of the site's history, so an office before this one may have pushed it.
        secret: only security may know of it.
        parent_stands: the alarm stands from which this one follows.
        flood: the site is in a flood. chattering: this is the third activation of its alarm within a minute, or a later
            one. told: the alarm has chattered and was pushed lately.
        step: of the ladder, 0 for the first ones that are called. over: the condition is over and nothing is held by a
            latch, or something has held the alarm back since. superseded: another occurrence has come in its place, or
            it was told from memory and lost with it.
    """

    number: int
    transition: Transition
    event_id: str
    committed: Micros = 0
    acknowledged: bool = False
    finished: frozenset[str] = frozenset()
    site_silent: bool = False
    resent: bool = False
    secret: bool = False
    parent_stands: bool = False
    flood: bool = False
    chattering: bool = False
    told: bool = False
    step: int = 0
    over: bool = False
    superseded: bool = False

    @property
    def occurrence(self) -> str:
        """What the push is about."""
        return self.transition.occurrence


class Roundup(msgspec.Struct, frozen=True, kw_only=True):
    """A digest with what it speaks of.

    Attributes:
        first: with which the flood began; None if not all may know of it. told: annunciations by rule and priority.
    """

    digest: Digest
    first: Transition | None
    told: Mapping[tuple[str, Priority], int]
    resent: bool = False

    @property
    def event_id(self) -> str:
        """What the receiver dedupes by."""
        return self.digest.event_id

    @property
    def occurrence(self) -> str:
        """What the push is about: the flood."""
        return self.digest.event_id.partition(STEP)[0]


Told = Case | Roundup
"""What a push is about."""


class Send(msgspec.Struct, frozen=True):
    """Send it over these channels."""

    channels: tuple[str, ...]


class NotSent(msgspec.Struct, frozen=True):
    """Do not send it."""

    reason: Reason


Routes = Mapping[Priority, tuple[str, ...]]
"""Channel ids by priority; a priority that is missing is not pushed."""


class Step(msgspec.Struct, frozen=True):
    """Who else is called, and how long after the office had the alarm, if nobody has acknowledged it by then."""

    after: Micros
    channels: tuple[str, ...]


class Routing(msgspec.Struct, frozen=True):
    """Who is pushed what.

    Attributes:
        security: channels of what only security may know of; such an alarm goes nowhere else.
        ladder: by priority, the steps in order of time.
    """

    routes: Routes
    security: Routes = {}
    ladder: Mapping[Priority, tuple[Step, ...]] = {}

    def wanted(self, case: Case) -> tuple[str, ...]:
        """Return the channels that a case is for."""
        priority = case.transition.priority
        own = self.security if case.secret else self.routes
        if not case.step:
            return own.get(priority, ())
        steps = self.ladder.get(priority, ())
        if case.step > len(steps):
            return ()
        channels = steps[case.step - 1].channels
        return tuple(name for name in channels if name in own.get(priority, ())) if case.secret else channels

    def bundled(self) -> tuple[str, ...]:
        """Return the channels that get what is told together in a flood."""
        return tuple(dict.fromkeys(name for one in BUNDLED for name in self.routes.get(one, ())))

    def priorities(self, channel: str) -> frozenset[Priority]:
        """Return what a channel is pushed."""
        return frozenset(priority for priority, channels in self.routes.items() if channel in channels)


def event_id(transition: Transition, epoch: str, sequence: int, position: int) -> str:
    """Name an annunciation so that it is the same after any restart and different for every new annunciation.

    A raise is named by its occurrence; a re-annunciation also by where in the alarms stream it stands. One that the
    site told from memory (its epoch is `<epoch>~<boot>`) has the boot behind it: if that is all that ever comes of it,
    another boot may raise another alarm under the same occurrence.
    """
    epoch, mark, boot = epoch.partition(TOLD_BY)
    if transition.cause is Cause.RAISE:
        return f"{transition.occurrence}{mark}{boot}"
    return f"{transition.occurrence}+{epoch}-{sequence}.{position}{mark}{boot}"


def settled_id(event: str) -> str:
    """Return what an annunciation is named once the site has it on its disk; the same if it was not told before."""
    named, mark, step = event.partition(STEP)
    return named.partition(TOLD_BY)[0] + mark + step


def step_id(event: str, step: int) -> str:
    """Name a step of the ladder of an annunciation; 0 is the annunciation itself."""
    return f"{event}{STEP}{step}" if step else event


def step_of(event: str) -> tuple[str, int]:
    """Return the annunciation and the step that an event names."""
    before, mark, step = event.partition(STEP)
    return before, int(step) if mark else 0


def decide(case: Case, routing: Routing) -> Send | NotSent:
    """Say over which channels this transition is pushed, or why it is not."""
    wanted = routing.wanted(case)
    missing = tuple(channel for channel in wanted if channel not in case.finished)
    if not annunciates(case.transition):
        return NotSent(_silent(case.transition))
    if (reason := _nobody(case)) is not None:
        return NotSent(reason)
    if not wanted:
        return NotSent(Reason.AUDIENCE if case.secret else Reason.NOT_ROUTED)
    if (reason := _not_alone(case)) is not None:
        return NotSent(reason)
    return Send(missing) if missing else NotSent(Reason.ALREADY_SENT)


def _nobody(case: Case) -> Reason | None:
    """Say why nobody needs to be told."""
    moved = case.transition
    if moved.mode:
        return Reason.DRILL if moved.mode == "drill" else Reason.WATCH_MODE
    if case.acknowledged:
        return Reason.ALREADY_ACKNOWLEDGED
    if case.site_silent and _is_child_of_silence(moved):
        return Reason.SITE_SILENT
    if case.step and (case.over or case.superseded):
        return Reason.CONDITION_OVER
    return Reason.CHILD if case.parent_stands else None


def _not_alone(case: Case) -> Reason | None:
    """Say why it is told together with others, or later; of P1 and P2 nothing ever waits, nor what security gets."""
    if case.transition.priority not in BUNDLED or case.secret:
        return None
    if case.flood:
        return Reason.FLOOD
    return Reason.CHATTER if case.chattering and case.told else None


def _silent(transition: Transition) -> Reason:
    """Say why a move is not annunciated."""
    raised = transition.cause in {Cause.RAISE, Cause.REANNUNCIATE}
    return Reason.HELD_BACK if raised and transition.target in HELD_BACK else Reason.NOT_ANNUNCIATING


def _is_child_of_silence(transition: Transition) -> bool:
    """Tell whether an alarm may follow from the silence of its site.

    Only what the office itself concluded can. An alarm that the site sent proves by its arrival that the site speaks,
    and a person may be trapped: it is pushed whether or not GW01 has been cleared yet.
    """
    return "@" + OFFICE_EPOCH in transition.occurrence and transition.rule != "GW01"
