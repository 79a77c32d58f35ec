"""One alarm opened: its story, its instructions, whom to call, and what may be done. Read from the store."""

from dataclasses import dataclass

from cloud_sync.store.history import HistoryReader
from cloud_sync.store.orders import OrderRow
from office import alarm_orders
from office.facts import AlarmFacts
from sitekeeper import story
from sitekeeper.model.alarm import UNACKED, AlarmState
from sitekeeper.model.errors import NotFound
from sitekeeper.texts import Language, text


@dataclass(frozen=True, kw_only=True)
class Told:
    """An opened alarm.

    Attributes:
        lines: the story; indented lines explain the one before them. steps: the playbook.
        newer: the occurrence that has taken its place, or nothing. may_ack: it wants one, and none waits.
        shelf: for how long it may be shelved, to choose from; nothing if it may not be.
        protects: what protects life is not shelved. may_note: its site takes notes.
        orders: the newest orders about it.
    """

    alarm: AlarmFacts
    occurrence: str
    lines: list[str]
    steps: list[str]
    phone: str
    newer: str
    may_ack: bool
    shelf: list[str]
    protects: bool
    may_note: bool
    orders: list[OrderRow]

    @property
    def waits(self) -> bool:
        """Tell whether its site has still to say what came of one."""
        return any(row.state in {"sent", "accepted"} for row in self.orders)


def told(reader: HistoryReader, alarm: AlarmFacts, occurrence: str, lang: Language) -> Told:
    """Return what is to be told of an occurrence.

    Raises:
        NotFound: its transitions are not in the store.
    """
    moves = reader.story(occurrence)
    if not moves:
        raise NotFound(f"no record of {occurrence!r} at the office")
    names = story.labels(alarm.known.catalogue, alarm.record.key, lang)
    pushes = reader.pushes(occurrence)
    lines = story.story([m.transition for m in moves], pushes, names, [m.decision for m in moves])
    current = alarm.record.occurrence == occurrence
    if current and alarm.pending is not None:
        lines.insert(-1, story.pending_ack(alarm.pending, names))  # before how it stands now
    return Told(
        alarm=alarm,
        occurrence=occurrence,
        lines=lines,
        steps=_steps(names.playbook, lang),
        phone=names.phone,
        newer="" if current else alarm.record.occurrence,
        may_ack=current and alarm.pending is None and AlarmState(alarm.record.state) in UNACKED,
        shelf=alarm_orders.choices(alarm) if current else [],
        protects=alarm_orders.protects_life(alarm),
        may_note=current and not alarm_orders.is_own(alarm),
        orders=alarm_orders.about(reader, alarm),
    )


def _steps(playbook: str, lang: Language) -> list[str]:
    """Return the steps without their numbers; none where nobody wrote any."""
    try:
        lines = text(f"office.playbook.{playbook}", lang).splitlines()
    except NotFound:
        return []
    return [line.partition(". ")[2] or line for line in lines if line]
