"""To push or not to push: one pure function with a named reason for every no (sync.md section 7)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from sitekeeper.model.alarm import HELD_BACK, Cause, Priority, Transition, annunciates

OFFICE_EPOCH: Final = "office-"
"""Epochs of alarms that the office itself raises begin so; a site's epoch never does."""

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


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One committed transition with what the office knows that bears on pushing it.

    Attributes:
        number: of the transition in the store.
        event_id: see `event_id`.
        acknowledged: it was acknowledged after this annunciation, at the site or (still pending) at the office.
        finished: ids of the channels that need no further attempt.
        site_silent: the site's own silence alarm (GW01) stands.
        resent: it came out of the site's history, so an office before this one may have pushed it.
    """

    number: int
    transition: Transition
    event_id: str
    acknowledged: bool = False
    finished: frozenset[str] = frozenset()
    site_silent: bool = False
    resent: bool = False


class Send(msgspec.Struct, frozen=True):
    """Send it over these channels."""

    channels: tuple[str, ...]


class NotSent(msgspec.Struct, frozen=True):
    """Do not send it."""

    reason: Reason


Routes = Mapping[Priority, tuple[str, ...]]
"""Channel ids by priority; a priority that is missing is not pushed."""


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
    before, mark, _ = event.rpartition(TOLD_BY)
    return before if mark else event


def decide(case: Case, routes: Routes) -> Send | NotSent:
    """Say over which channels this transition is pushed, or why it is not."""
    transition = case.transition
    wanted = routes.get(transition.priority, ())
    missing = tuple(channel for channel in wanted if channel not in case.finished)
    if not annunciates(transition):
        return NotSent(_silent(transition))
    if transition.mode == "watch":
        return NotSent(Reason.WATCH_MODE)
    if case.acknowledged:
        return NotSent(Reason.ALREADY_ACKNOWLEDGED)
    if case.site_silent and _is_child_of_silence(transition):
        return NotSent(Reason.SITE_SILENT)
    if not wanted:
        return NotSent(Reason.NOT_ROUTED)
    if not missing:
        return NotSent(Reason.ALREADY_SENT)
    return Send(missing)


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
