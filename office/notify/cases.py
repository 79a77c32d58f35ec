"""What bears on a push, read from the store."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

from msgspec.structs import replace

from cloud_sync.store import bundles as store
from cloud_sync.store.base import Digest, Push, StoredTransition
from cloud_sync.store.reader import StoreReader
from office.audience import Audiences
from office.notify.bundles import AGAIN, LOOK_BACK, RULE, Bundles
from office.notify.stages import OFFICE_EPOCH, SENT_TO, Case, Roundup, Told, event_id, settled_id, step_of
from office.silence import is_active, silence_key
from sitekeeper.model.alarm import (
    HELD_BACK,
    AlarmState,
    Cause,
    Priority,
    Transition,
    alarm_key,
    annunciates,
    split_key,
)
from sitekeeper.model.clock import DAY, Micros

EVERY: Final = frozenset({"planned", "sending", "failed", "sent", "given-up"})
"""States of rows by which a channel is finished with an event that is to be decided."""
FINISHED: Final = frozenset({"sent", "given-up"})
"""The same for an event of which a row is to be tried again."""
LADDER_FOR: Final[Micros] = DAY
"""Whoever is called is called within this time: a ladder that is new calls nobody for what is older."""


class Cases:
    """Reads cases; one office's, and cheap to make."""

    def __init__(self) -> None:
        self._audiences = Audiences()

    def undecided(self, stored: StoredTransition, reader: StoreReader) -> Case:
        """Return the case of a transition that is to be decided."""
        return self._case(stored, EVERY, _event(stored), reader)

    def numbered(self, number: int, reader: StoreReader) -> Case | None:
        """Return the case of a transition to be decided once more."""
        stored = store.transition(reader.ask, number)
        return None if stored is None else self.undecided(stored, reader)

    def told(self, row: Push, reader: StoreReader) -> Told | None:
        """Return what a row is about."""
        if f"/{RULE}@{OFFICE_EPOCH}" in row.occurrence:
            digest = store.digest(reader.ask, row.event_id)
            return None if digest is None else self.roundup(digest, reader)
        return self.named(row.occurrence, row.event_id, reader)

    def named(
        self, occurrence: str, event: str, reader: StoreReader, finished: Iterable[str] = FINISHED
    ) -> Case | None:
        """Return the annunciation that an event names, or the step of its ladder."""
        before, step = step_of(event)
        story = [one for one in reader.story(occurrence) if annunciates(one.transition)]
        for name in (before, settled_id(before)):  # the row may be older than the site's disk is well
            for stored in story:
                if _event(stored) == name:
                    return replace(self._case(stored, finished, event, reader), step=step)
        return None

    def roundup(self, digest: Digest, reader: StoreReader) -> Roundup | None:
        """Return a digest with what it speaks of; None if by now there is nothing of which all may know."""
        hidden = self._audiences.of(reader, digest.site)
        told: Counter[tuple[str, Priority]] = Counter()
        for kind in store.spoken_of(reader.ask, digest):
            if annunciates(kind) and not kind.mode and kind.rule not in hidden:
                told[kind.rule, kind.priority] += kind.count
        first = store.transition(reader.ask, digest.first_id)
        shown = first is not None and first.transition.rule not in hidden
        return Roundup(digest=digest, first=first.transition if first and shown else None, told=told) if told else None

    def bundles(self, now: Micros, reader: StoreReader) -> Bundles:
        """Return what is told together, as it stood when the last case was decided."""
        [waiting] = reader.ask("SELECT coalesce(min(committed), ?) FROM transitions WHERE decision IS NULL", now)
        lasting = store.lasting(reader.ask)
        since = min(now, int(waiting[0]), *(one.at for one in lasting)) - LOOK_BACK
        lately = [self._light(one, reader) for one in store.decided(reader.ask, since) if annunciates(one.transition)]
        return Bundles(lately, lasting, store.chatters(reader.ask, now - AGAIN))

    def unanswered(self, priorities: Iterable[Priority], now: Micros, reader: StoreReader) -> list[Case]:
        """Return the annunciations of these priorities that were pushed lately and nobody has acknowledged."""
        found = store.unanswered(reader.ask, tuple(priorities), now - LADDER_FOR)
        return [self._light(one, reader) for one in found if annunciates(one.transition) and _is_sent(one)]

    def _light(self, stored: StoredTransition, reader: StoreReader) -> Case:
        """Return a case without what only a decision needs."""
        moved = stored.transition
        return Case(
            number=stored.id,
            transition=moved,
            event_id=_event(stored),
            committed=stored.committed,
            secret=annunciates(moved) and moved.rule in self._audiences.of(reader, stored.site),
        )

    def _case(self, stored: StoredTransition, taken_care_of: Iterable[str], event: str, reader: StoreReader) -> Case:
        """Return what bears on a transition; a channel with a row in one of these states is finished with the event."""
        moved = stored.transition
        story = reader.story(moved.occurrence)
        later = [one.transition for one in story if one.id > stored.id]
        others = {_event(one) for one in story if one.id != stored.id}
        states = frozenset(taken_care_of)
        return replace(
            self._light(stored, reader),
            event_id=event,
            acknowledged=any(one.cause is Cause.ACK for one in later) or store.is_acknowledged(reader.ask, stored),
            finished=frozenset(
                row.channel
                for row in reader.pushes(moved.occurrence)
                if row.state in states and _is_same(row.event_id, event, others)
            ),
            resent=bool(reader.ask("SELECT 1 FROM resent WHERE id = ?", stored.id)),
            site_silent=is_active(reader.alarm(silence_key(stored.site))),
            parent_stands=self._parent_stands(stored, reader),
            over=any(_is_over(one) for one in later),
            superseded=store.is_superseded(reader.ask, stored.id),
        )

    def _parent_stands(self, stored: StoredTransition, reader: StoreReader) -> bool:
        """Tell whether the alarm from which this one follows stands in sight, told to the same people as urgently."""
        moved = stored.transition
        if not moved.parent:
            return False
        site, device, _ = split_key(moved.key)
        parent = reader.alarm(alarm_key(site, device, moved.parent))
        if parent is None or not is_active(parent) or parent.state in HELD_BACK or parent.mode != moved.mode:
            return False
        hidden = self._audiences.of(reader, stored.site)
        return parent.priority <= moved.priority and (parent.rule not in hidden or moved.rule in hidden)


def _is_sent(stored: StoredTransition) -> bool:
    return stored.decision is not None and stored.decision.startswith(SENT_TO)


def _is_over(move: Transition) -> bool:
    """Tell whether nobody else is to be called after a move."""
    return move.target in HELD_BACK or move.standing in {AlarmState.NORMAL, AlarmState.RETURNED}


def _is_same(row: str, event: str, others: Collection[str]) -> bool:
    """Tell whether a row is of an event, which may have another name since the site has it on its disk.

    `others` are the other annunciations of the occurrence. What was told from memory and lost is one of them, though a
    later boot may have given its very name to something else.
    """
    return row == event or (settled_id(row) == settled_id(event) and step_of(row)[0] not in others)


def _event(stored: StoredTransition) -> str:
    return event_id(stored.transition, stored.epoch, stored.sequence, stored.position)
