"""Who on site was told of an alarm while the office was away: out of the record, for `sk alarm show`."""

from collections.abc import Sequence
from pathlib import Path

from edge.operations.gateway import Item, rfc3339
from edge.outbox.reader import Reader
from edge.own import DEVICE
from sitekeeper import story
from sitekeeper.model.alarm import AlarmRecord
from sitekeeper.model.clock import Micros
from sitekeeper.texts import text

Told = tuple[Micros, Item]


def of(path: Path, record: AlarmRecord) -> list[Told]:
    """Return what was told of the present occurrence, each with its wall time.

    Raises:
        StorageError, FormatError: the record cannot be read.
    """
    with Reader(path) as reader:
        said = reader.events(f"{DEVICE}/told", record.raised)
    return [(at, dict(event.fields)) for at, event in said if event.fields.get("occurrence") == record.occurrence]


def items(told: Sequence[Told]) -> list[Item]:
    """Return them as they are answered."""
    return [{"at": rfc3339(at), **{key: said[key] for key in ("target", "attempt", "outcome")}} for at, said in told]


def lines(told: Sequence[Told], names: story.Labels) -> list[str]:
    """Return them as lines of the story."""
    return [f"{story.stamp(at, names.zone)}  {text('alarms.told', names.lang, **said)}" for at, said in told]
