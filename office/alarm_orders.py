"""What an operator at the office may have done to an alarm at its site: put on the shelf, taken off, a note written.

The site owns the alarm, and decides. What it would refuse for certain is refused here, so that a person reads why at
once: what protects life is never shelved, and a shelf has its longest time.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from cloud_sync.store.history import HistoryReader
from cloud_sync.store.orders import OrderRow
from office.command_operations import wanted_of
from office.commands import Caller, Orders, Wanted
from office.facts import AlarmFacts
from office.notify.stages import OFFICE_EPOCH
from sitekeeper.durations import duration_text
from sitekeeper.model.alarm import AlarmState, split_key
from sitekeeper.model.clock import HOUR, MINUTE, Micros
from sitekeeper.model.errors import Refused
from sitekeeper.model.veil import SHELF
from sitekeeper.order import ALARM_TARGETS

Deed = Literal["shelve", "unshelve", "comment"]
CHOICES: Final[tuple[Micros, ...]] = (15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR)
"""For how long a person may choose to shelve; of these those that the priority allows."""
SHOWN: Final = 3
"""Orders about an alarm that are told beside it, the newest ones."""
LOOKED_THROUGH: Final = 200


def protects_life(alarm: AlarmFacts) -> bool:
    """Tell whether the alarm's rule protects life, as its site's catalogue says."""
    rule = alarm.known.rules.get(alarm.record.rule)
    return rule is not None and "life_safety" in rule.flags


def is_own(alarm: AlarmFacts) -> bool:
    """Tell whether the office itself raised the alarm, so that no site owns it."""
    return f"@{OFFICE_EPOCH}" in alarm.record.occurrence


def choices(alarm: AlarmFacts) -> list[str]:
    """Return for how long the alarm may be shelved, in the words that `order` takes; nothing if it may not be."""
    hidden = alarm.record.state in {AlarmState.SUPPRESSED, AlarmState.OUT}
    if protects_life(alarm) or is_own(alarm) or hidden:
        return []
    return [duration_text(each) for each in CHOICES if each <= SHELF[alarm.record.priority]]


async def order(
    orders: Orders | None, caller: Caller, alarm: AlarmFacts, deed: Deed, given: Mapping[str, Any]
) -> OrderRow:
    """Order it; return how the order stands, which the site has not answered yet.

    Args:
        given: `reason`, which for a comment is the note; `for` how long, for a shelf.

    Raises:
        StorageError: it could not be recorded, so nothing was sent.
        Refused: `protects-life`, `too-long`, `not-here`, and as `Orders.ask`.
    """
    if orders is None:
        raise Refused("commands-off", "this office gives no commands")
    return await orders.ask_of_alarm(caller, _wanted(alarm, deed, given), lambda: _check(alarm, deed, given))


def about(reader: HistoryReader, alarm: AlarmFacts) -> list[OrderRow]:
    """Return the newest orders about an alarm, the newest first."""
    _, device, rule = split_key(alarm.record.key)
    rows = reader.orders(LOOKED_THROUGH, [alarm.site])
    return [row for row in rows if row.target in ALARM_TARGETS and row.value == f"{device}/{rule}"][:SHOWN]


def _wanted(alarm: AlarmFacts, deed: Deed, given: Mapping[str, Any]) -> Wanted:
    site, device, rule = split_key(alarm.record.key)
    expires = given.get("for") if deed == "shelve" else None
    what = {"site": site, "device": "alarms", "point": deed, "value": f"{device}/{rule}"}
    return wanted_of({**what, "reason": given.get("reason"), "expires": expires})


def _check(alarm: AlarmFacts, deed: Deed, given: Mapping[str, Any]) -> None:
    if is_own(alarm):
        raise Refused("not-here", "the office raised it itself; it ends when what it is about ends")
    if deed != "shelve":
        return
    if protects_life(alarm):
        raise Refused("protects-life", "what protects life is never shelved")
    most = SHELF[alarm.record.priority]
    if _wanted(alarm, deed, given).lasts > most:
        raise Refused("too-long", f"{alarm.record.priority} is shelved for at most {most // HOUR} h")
