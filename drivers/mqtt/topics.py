"""Topics with wildcards: which messages are whose, and which subscriptions bring them. Pure.

A resolved pattern is levels with slashes between them. Beside plain words a level may be

    +         any word
    +name     any word, which the paths of that message know as `$topic.name`
    +=word    this word; but the subscription has + there, so that many devices share it
    #         at the end: any levels, also none
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sitekeeper.model.clock import SECOND, Micros

T = TypeVar("T")

AT_ONCE: Final[Micros] = SECOND
"""How long after a message a copy of it may come."""
TOPICS: Final = 1_000
"""Topics whose last message is kept to know a copy by."""

Captures = Mapping[str, str]
NO_CAPTURES: Final[Captures] = {}


def filter_of(pattern: str) -> str:
    """Return what is subscribed to for a pattern."""
    return "/".join("+" if level.startswith("+") else level for level in pattern.split("/"))


def concrete(pattern: str) -> str | None:
    """Return the only topic of a pattern; None if it has several."""
    levels = [level.removeprefix("+=") for level in pattern.split("/")]
    return None if any(level.startswith("+") or level == "#" for level in levels) else "/".join(levels)


def matches(wanted: str, topic: str) -> bool:
    """Tell whether a subscription brings a topic (MQTT 5, section 4.7; `$SYS` and the like only by their name)."""
    want, have = wanted.split("/"), topic.split("/")
    if topic.startswith("$") and want[0] != have[0]:
        return False
    if want[-1] == "#":
        want = want[:-1]
        have = have[: len(want)]
    return len(want) == len(have) and all(part in ("+", level) for part, level in zip(want, have, strict=True))


def subscriptions(wanted: Iterable[tuple[str, bool]]) -> dict[str, bool]:
    """Return what to subscribe to, and whether each is queued for us while we are away.

    What another covers is left out. Two that only overlap stay two: one that covers both may be all that a broker has.
    """
    found: dict[str, bool] = {}
    for each, queued in wanted:
        found[each] = found.get(each, False) or queued
    wide = [each for each in found if "+" in each or each.endswith("#")]
    for each in list(found):
        wider = next((one for one in wide if one != each and one in found and covers(one, each)), None)
        if wider is not None:
            found[wider] = found.pop(each) or found[wider]
    return found


def covers(wide: str, narrow: str) -> bool:
    """Tell whether a subscription brings all that another one does."""
    mine, its = wide.split("/"), narrow.split("/")
    if mine[-1] == "#":
        mine.pop()
        its = [level for level in its if level != "#"][: len(mine)]
    same = len(mine) == len(its) and "#" not in its
    return same and all(one in ("+", other) for one, other in zip(mine, its, strict=True))


def overlap(one: str, other: str) -> bool:
    """Tell whether some topic is brought by both."""
    if "+" not in one + other and "#" not in one + other:
        return one == other
    for mine, its in zip(first := one.split("/"), second := other.split("/"), strict=False):
        if "#" in (mine, its):
            return True
        if mine != its and "+" not in (mine, its):
            return False
    shorter, longer = sorted((first, second), key=len)
    return len(shorter) == len(longer) or longer[len(shorter) :] == ["#"]  # `a/#` is `a`, too


class Copies:
    """Tells what a broker delivers once more because two subscriptions that overlap bring it (MQTT 5, section 3.3.4).

    Not every broker does, and an event may be said twice in the same words. So only what follows at once, in the same
    words, is taken for a copy, and no more often than there are subscriptions for it.
    """

    def __init__(self, subscribed: Iterable[str]) -> None:
        wide = [each for each in subscribed if "+" in each or each.endswith("#")]
        self._wide = [each for each in wide if any(each != other and overlap(each, other) for other in wide)]
        self._left: OrderedDict[str, tuple[bytes, Micros, int]] = OrderedDict()

    def again(self, topic: str, payload: bytes, now: Micros) -> bool:
        """Take a message that came at the monotonic time `now`; tell whether it is a copy of the one before it."""
        times = sum(matches(each, topic) for each in self._wide)
        if times < 2:
            return False
        said, since, left = self._left.pop(topic, (b"", now, 0))
        copy = left > 0 and said == payload and now - since <= AT_ONCE
        self._left[topic] = (payload, since, left - 1) if copy else (payload, now, times - 1)
        if len(self._left) > TOPICS:
            self._left.popitem(last=False)
        return copy


@dataclass(frozen=True, slots=True)
class _Mine(Generic[T]):
    """Whose a message is, and which of its levels have names."""

    target: T
    names: tuple[tuple[str, int], ...]


class Router(Generic[T]):
    """Finds whose a message is by its topic, in a time that does not grow with the number of devices."""

    def __init__(self) -> None:
        self._exact: dict[str, list[T]] = {}
        self._wild: dict[tuple[str, tuple[int, ...]], dict[tuple[str, ...], list[_Mine[T]]]] = {}
        self._filters: dict[str, None] = {}

    @property
    def filters(self) -> list[str]:
        """What must be subscribed to."""
        return list(self._filters)

    def add(self, pattern: str, target: T) -> None:
        wanted = filter_of(pattern)
        self._filters[wanted] = None
        if "+" not in wanted and not wanted.endswith("#"):
            self._exact.setdefault(pattern, []).append(target)
            return
        levels = pattern.split("/")
        fixed = tuple(at for at, level in enumerate(levels) if level.startswith("+="))
        names = tuple(
            (level[1:], at) for at, level in enumerate(levels) if level[:1] == "+" and level[1:2] not in ("", "=")
        )
        by_key = self._wild.setdefault((wanted, fixed), {})
        by_key.setdefault(tuple(levels[at][2:] for at in fixed), []).append(_Mine(target, names))

    def find(self, topic: str) -> Sequence[tuple[T, Captures]]:
        """Return whose a message on `topic` may be, with its named levels; in the order in which they were added."""
        found = [(target, NO_CAPTURES) for target in self._exact.get(topic, ())]
        if not self._wild:
            return found
        levels = topic.split("/")
        for (wanted, fixed), by_key in self._wild.items():
            if matches(wanted, topic):
                for mine in by_key.get(tuple(levels[at] for at in fixed), ()):
                    named = {name: levels[at] for name, at in mine.names}
                    found.append((mine.target, named or NO_CAPTURES))
        return found
