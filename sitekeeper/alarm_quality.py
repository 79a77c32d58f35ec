"""How good the alarms are that people get: chattering, fleeting, stale, floods, and the figures of a time. Pure.

The figures and their limits are those of ISA-18.2 / IEC 62682 and of the studies that domain brief section 9 names.
Both the site and the office count with them. Nothing here changes an alarm, and nothing leaves the record for it.

| what | is |
|---|---|
| annunciation | a move that wants people's attention anew (`model.alarm.annunciates`) |
| activation | an annunciation because the condition came true, not because it became worse |
| chattering | 3 activations of one alarm within 60 s |
| fleeting | active for less than 10 s, and not active again within 60 s |
| stale | active for more than 24 h |
| flood | begins with more than 10 annunciations in 10 min, ends with fewer than 5 |
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from sitekeeper.model.alarm import ACTIVE, LATCHED, AlarmState, Cause, Mode, Move, Priority, Transition, annunciates
from sitekeeper.model.clock import DAY, MINUTE, SECOND, Micros

CHATTER: Final = 3
CHATTER_WITHIN: Final[Micros] = 60 * SECOND
FLEETING: Final[Micros] = 10 * SECOND
FLEETING_ALONE: Final[Micros] = 60 * SECOND
STALE: Final[Micros] = DAY
WINDOW: Final[Micros] = 10 * MINUTE
FLOOD_ABOVE: Final = 10
FLOOD_BELOW: Final = 5
TOP: Final = 10
_PRIORITIES: Final[tuple[Priority, ...]] = ("P1", "P2", "P3", "P4")


class Entry(NamedTuple):
    """As much of a transition as the figures need. `at` is the site's wall time, microseconds."""

    at: Micros
    key: str
    priority: Priority
    cause: Cause
    source: AlarmState
    target: AlarmState
    mode: Mode = ""


def entry(move: Transition) -> Entry:
    """Return what the figures need of a transition."""
    return Entry(move.at, move.key, move.priority, move.cause, move.source, move.target, move.mode)


def is_activation(move: Move) -> bool:
    """Tell whether a move is annunciated because the condition of its alarm came true."""
    came = move.cause is Cause.RAISE or (move.cause is Cause.REANNUNCIATE and move.source in LATCHED)
    return came and annunciates(move)


def chattering(activations: Sequence[Micros]) -> bool:
    """Tell whether the newest of these activations of one alarm, oldest first, is the third within a minute."""
    return len(activations) >= CHATTER and 0 <= activations[-1] - activations[-CHATTER] < CHATTER_WITHIN


class Flood:
    """Whether more comes at present than people can take in; fed with the time of each annunciation, oldest first.

    Attributes:
        since: when the flood began that lasts; None while there is none.
        times: of the last annunciations, as many as matter.
    """

    def __init__(self) -> None:
        self.since: Micros | None = None
        self.times: deque[Micros] = deque(maxlen=FLOOD_ABOVE + 1)

    def add(self, at: Micros) -> bool:
        """Take in an annunciation; tell whether a flood begins with it. `look` at the same time comes first."""
        if self.times and at < self.times[-1] - WINDOW:
            self.times.clear()  # the clock was set back
        self.times.append(max(at, self.times[-1]) if self.times else at)
        many = len(self.times) > FLOOD_ABOVE and self.times[-1] - self.times[0] < WINDOW
        if self.since is not None or not many:
            return False
        self.since = self.times[-1]
        return True

    def look(self, now: Micros) -> Micros | None:
        """Return when the flood ended that lasted, if it has by now."""
        end = self.ends
        if end is None or now < end:
            return None
        self.since = None
        return end

    @property
    def ends(self) -> Micros | None:
        """Return when the flood that lasts will have ended, if nothing more comes."""
        if self.since is None:
            return None
        return self.times[-FLOOD_BELOW] + WINDOW if len(self.times) >= FLOOD_BELOW else self.since


class Often(msgspec.Struct, frozen=True):
    """An alarm, how often it was annunciated, and which share of all that is."""

    key: str
    count: int
    share: float


class Kpi(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one time, over whatever alarms were handed in. Shares are of 1, times in microseconds.

    Attributes:
        annunciated: how often attention was wanted. average, most: of that in 10 min.
        over: share of the 10 min intervals, counted from the start, with more than 10.
        floods, in_flood: how many floods there were, and how long they lasted together.
        top: the ten alarms annunciated most.
        stale: alarms that were active for more than 24 h. chattering, fleeting: how often, by alarm.
        priorities: annunciations by priority.
        acknowledged: how many were; median and p90 (nearest rank) of the time it took, None if none was.
        shelved, out: how often an alarm was put on a shelf, or out of service. suppressed: how often one stayed unseen
            because of another.
    """

    start: Micros
    end: Micros
    annunciated: int
    average: float
    most: int
    over: float
    floods: int
    in_flood: Micros
    top: tuple[Often, ...]
    stale: tuple[str, ...]
    chattering: Mapping[str, int]
    fleeting: Mapping[str, int]
    priorities: Mapping[str, int]
    acknowledged: int
    ack_median: Micros | None
    ack_p90: Micros | None
    shelved: int
    suppressed: int
    out: int


def report(entries: Iterable[Entry], start: Micros, end: Micros) -> Kpi:
    """Return the figures of [start, end).

    Args:
        entries: moves in order of time. Those before the start are not counted, but what began in them is known:
            hand in at least the last raise of what stood at the start. Of rules that are only watched, and of drills,
            nothing counts.
    """
    moves = [one for one in entries if not one.mode and one.at < end]
    inside = [one for one in moves if one.at >= start]
    told = [one for one in inside if annunciates(one)]
    counts = Counter((one.at - start) // WINDOW for one in told)
    intervals = max(math.ceil((end - start) / WINDOW), 1)
    often = Counter(one.key for one in told)
    floods, in_flood = _floods([one.at for one in told], end)
    stale, fleeting = _lasting(moves, start, end)
    waits = sorted(_waits(moves, start))
    return Kpi(
        start=start,
        end=end,
        annunciated=len(told),
        average=len(told) * WINDOW / max(end - start, 1),
        most=max(counts.values(), default=0),
        over=sum(count > FLOOD_ABOVE for count in counts.values()) / intervals,
        floods=floods,
        in_flood=in_flood,
        top=tuple(Often(key, count, count / len(told)) for key, count in _sorted(often)[:TOP]),
        stale=stale,
        chattering=_chattering(moves, start),
        fleeting=fleeting,
        priorities={priority: sum(one.priority == priority for one in told) for priority in _PRIORITIES},
        acknowledged=len(waits),
        ack_median=_rank(waits, 0.5),
        ack_p90=_rank(waits, 0.9),
        shelved=sum(one.cause is Cause.SHELVE and one.source is not AlarmState.SHELVED for one in inside),
        suppressed=sum(_is_suppressed(one) for one in inside),
        out=sum(one.cause is Cause.OUT for one in inside),
    )


def plain(kpi: Kpi) -> dict[str, Any]:
    """Return figures as plain values for JSON: lengths in seconds, the times of start and end as they are."""
    lengths = ("in_flood", "ack_median", "ack_p90")
    told: dict[str, Any] = msgspec.to_builtins(kpi)
    told |= {f"{name}_s": None if told[name] is None else told[name] / SECOND for name in lengths}
    return {name: value for name, value in told.items() if name not in lengths}


def _sorted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _floods(times: Sequence[Micros], end: Micros) -> tuple[int, Micros]:
    flood, count, long = Flood(), 0, 0
    for at in [*times, end]:
        since = flood.since
        if since is not None and (over := flood.look(at)) is not None:
            long += over - since
        if at < end:
            count += flood.add(at)
    return count, long + (0 if flood.since is None else end - flood.since)


def _chattering(moves: Sequence[Entry], start: Micros) -> dict[str, int]:
    """Return how often each alarm began to chatter: with a third activation whose predecessor was none yet."""
    times: dict[str, list[Micros]] = defaultdict(list)
    was: dict[str, bool] = {}
    begun: Counter[str] = Counter()
    for one in moves:
        if is_activation(one):
            times[one.key] = [*times[one.key][1 - CHATTER :], one.at]
            now = chattering(times[one.key])
            begun[one.key] += now and not was.get(one.key, False) and one.at >= start
            was[one.key] = now
    return {key: count for key, count in _sorted(begun) if count}


class _Spell(NamedTuple):
    """A time in which an alarm was active and in sight. `came`: it began because the condition came true."""

    since: Micros
    until: Micros | None
    came: bool


def _lasting(moves: Sequence[Entry], start: Micros, end: Micros) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the stale alarms, and how often each was fleeting."""
    stale, fleeting = set[str](), Counter[str]()
    for key, spells in _spells(moves).items():
        following = [spell.since for spell in spells[1:]]
        for spell, after in zip(spells, [*following, end + FLEETING_ALONE], strict=True):
            last = spell.until or end
            if last - spell.since > STALE and last >= start:
                stale.add(key)
            short = spell.came and spell.until is not None and last - spell.since < FLEETING
            fleeting[key] += short and spell.since >= start and after - last >= FLEETING_ALONE
    return tuple(sorted(stale)), {key: count for key, count in _sorted(fleeting) if count}


def _spells(moves: Sequence[Entry]) -> dict[str, list[_Spell]]:
    found: dict[str, list[_Spell]] = {}
    for one in moves:
        mine = found.get(one.key, [])
        lasts = bool(mine) and mine[-1].until is None
        if is_activation(one) or (annunciates(one) and not lasts):
            found.setdefault(one.key, []).append(_Spell(one.at, None, is_activation(one)))
        elif one.cause is Cause.CLEAR and lasts:
            mine[-1] = mine[-1]._replace(until=one.at)
    return found


def _waits(moves: Sequence[Entry], start: Micros) -> list[Micros]:
    """Return how long each occurrence that was acknowledged from `start` on had waited for it."""
    waiting: dict[str, Micros] = {}
    found: list[Micros] = []
    for one in moves:
        if one.cause is Cause.ACK and one.key in waiting:
            took = one.at - waiting.pop(one.key)
            found += [took] if one.at >= start else []
        elif annunciates(one):
            new = one.cause is Cause.RAISE
            waiting[one.key] = one.at if new else waiting.get(one.key, one.at)
    return found


def _rank(ordered: Sequence[Micros], share: float) -> Micros | None:
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def _is_suppressed(one: Entry) -> bool:
    """Tell whether an alarm stays unseen from here on that would be seen otherwise."""
    if one.target is not AlarmState.SUPPRESSED:
        return False
    return one.cause in {Cause.RAISE, Cause.REANNUNCIATE} or (one.cause is Cause.SUPPRESS and one.source in ACTIVE)
