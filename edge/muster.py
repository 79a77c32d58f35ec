"""Who may still be inside: whoever was granted entry in the last day and was not read on the way out. From the record.

It is a list for those who search in a fire, so it names too many rather than too few: whoever left by the exit button,
behind somebody else, or by a door without a reader on the way out is still on it. Both are told with the list.
Out is who was read out at an outer door: who was read out of an inner room is in the building. And in is whoever was
let through with no word of which way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from edge.outbox.reader import Reader
from edge.own import DEVICE
from sitekeeper.model.clock import DAY, Micros
from sitekeeper.model.errors import FormatError, StorageError
from sitekeeper.model.event import Event

CALLED_FOR_BY: Final = "F01"
"""The alarm with which the list is made by itself."""
SOURCE: Final = f"{DEVICE}/muster"
"""Of the event that tells of a list."""
BACK: Final[Micros] = DAY
_READ, _BUTTON = "read.event", "rex.event"


class Entry(NamedTuple):
    """Somebody was let through a door, and is inside for all we know: when, by wall time, through which, on whose
    credential (a pseudonym).
    """

    at: Micros
    door: str
    cred: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Muster:
    """The list.

    Attributes:
        since: wall time from which on the record was read. people: newest entry first.
        no_out: outer doors by which people came in, for all we know, and nobody was read out. by_button: how often an
            exit button was pressed at an outer door, by which people leave whom nobody can name.
    """

    since: Micros
    people: tuple[Entry, ...]
    no_out: tuple[str, ...]
    by_button: int


def muster(events: Iterable[tuple[Micros, Event]], doors: Mapping[str, bool], since: Micros) -> Muster:
    """Return the list from what was recorded since a wall time, each event with that of its recording.

    Args:
        doors: the controlled ones, each with whether it is an outer one.

    What was told late counts by its own time, if that is known: an entry that comes after the exit does not undo it.
    """
    last: dict[str, tuple[Entry, bool]] = {}
    ways: set[tuple[str, bool]] = set()
    by_button = 0
    for recorded, event in events:
        door, _, name = event.source_id.partition("/")
        said = event.fields
        if door not in doors:
            continue
        by_button += name == _BUTTON and doors[door]
        if name != _READ or said.get("granted") is not True:
            continue
        outward, cred = said.get("dir") == "out", said.get("cred")
        ways.add((door, outward))
        entry = Entry(_when(recorded, event), door, str(cred))
        if isinstance(cred, str) and (cred not in last or entry.at >= last[cred][0].at):
            last[cred] = entry, outward and doors[door]
    people = sorted((entry for entry, left in last.values() if not left), reverse=True)
    no_out = sorted(door for door, outward in ways if doors[door] and not outward and (door, True) not in ways)
    return Muster(since=since, people=tuple(people), no_out=tuple(no_out), by_button=by_button)


def _when(recorded: Micros, event: Event) -> Micros:
    """Return when something happened: the door's own time of what was told late, if it is not of the future."""
    return event.source if event.late and event.source is not None and event.source <= recorded else recorded


def read(path: Path, doors: Mapping[str, bool], now: Micros) -> Muster:
    """Return the list from an outbox file, as of a wall time.

    Raises:
        StorageError, FormatError: the file cannot be read.
    """
    with Reader(path) as reader:
        since = max(now - BACK, reader.begins("events") or now)
        return muster(reader.every_event(now - BACK, now), doors, since)


def listed(path: Path, since: Micros, now: Micros) -> bool:
    """Tell whether a list was recorded between two wall times; no, if the record cannot be read."""
    try:
        with Reader(path) as reader:
            told = reader.events(SOURCE, since)
    except (StorageError, FormatError):
        return False
    return any(at <= now and event.fields.get("count") is not None for at, event in told)
