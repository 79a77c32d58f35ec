"""Who wants what of a point: sixteen priorities, and what must be written so that the strongest wish holds. Pure.

A claim is a wish that stands until it is given up or expires; a claimant has at most one on a point. The lowest
priority number wins, and of equals the newest (BACnet, ANSI/ASHRAE 135-2020, 19.2, where a slot holds but one). When
the winner goes the next one is written. When nobody is left, the point is relinquished at every priority at which
something of ours stands in the device; where the protocol knows no priorities, its `rest` is written instead.
"""

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from sitekeeper.model.clock import Micros, Moment
from sitekeeper.model.command import DEFAULT, Role
from sitekeeper.model.errors import FormatError
from sitekeeper.model.sample import Value

_FORMAT: Final = 1


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """One wish.

    Attributes:
        by: the claimant: `<device>/<rule>`, or a user's name.
        id: of the command that made it. number: later claims have higher ones.
        until: monotonic time at which it ends by itself; None for a rule's, which ends with its condition.
        note: why, in the claimant's own words.
        pulse: done once and then over.
        leaving: it was given up and ends at `until`, one after another of its claimant's.
        stagger: how long after one another its claimant gives devices up; 0: all at once.
    """

    by: str
    id: str
    value: Value
    priority: int
    number: int
    until: Micros | None = None
    role: Role = "linkage"
    origin: Literal["site", "office"] = "site"
    note: str = ""
    pulse: bool = False
    leaving: bool = False
    stagger: Micros = 0

    @property
    def person(self) -> bool:
        """Whether a person made it."""
        return self.role != "linkage"


class Wishes(msgspec.Struct, frozen=True, array_like=True):
    """All claims on one point, and the priorities at which something of ours stands in the device.

    `spent` are the rules whose claim has ended by itself although their condition holds: it is not made anew.
    """

    claims: tuple[Claim, ...] = ()
    written: tuple[int, ...] = ()
    spent: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One write that is due. `claim` is what it is for; None gives the point back."""

    value: Value
    priority: int
    claim: Claim | None = None


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    version: int
    wishes: Wishes
    wall: Micros
    mono: Micros


def winner(wishes: Wishes) -> Claim | None:
    """Return the claim that holds the point: lowest priority number, then the newest."""
    return min(wishes.claims, key=lambda claim: (claim.priority, -claim.number), default=None)


def claimed(wishes: Wishes, claim: Claim) -> Wishes:
    """Return the wishes with `claim` in the place of any earlier one of its claimant."""
    others = tuple(c for c in wishes.claims if c.by != claim.by)
    return replace(unspent(wishes, claim.by), claims=(*others, claim))


def expired(wishes: Wishes, now: Micros) -> tuple[Wishes, tuple[Claim, ...]]:
    """Return what is left at `now`, and what has ended."""
    over = tuple(c for c in wishes.claims if c.until is not None and c.until <= now)
    if not over:
        return wishes, ()
    spent = (c.by for c in over if not (c.person or c.pulse or c.leaving))
    left = tuple(c for c in wishes.claims if c not in over)
    return Wishes(left, wishes.written, tuple(dict.fromkeys((*wishes.spent, *spent)))), over


def leaving(wishes: Wishes, by: str, at: Micros) -> Wishes:
    """Return the wishes with a claimant's claim given up as of `at`, if it does not end before."""
    return replace(wishes, claims=tuple(_leaving(c, at) if c.by == by else c for c in wishes.claims))


def unspent(wishes: Wishes, by: str) -> Wishes:
    """Return the wishes as if nothing of this claimant had ever ended by itself."""
    return replace(wishes, spent=tuple(each for each in wishes.spent if each != by)) if by in wishes.spent else wishes


def next_expiry(wishes: Wishes) -> Micros | None:
    """Return when the next claim ends by itself."""
    return min((c.until for c in wishes.claims if c.until is not None), default=None)


def due(wishes: Wishes, done: Step | None, *, rest: Value, relinquishes: bool) -> Step | None:
    """Return the next write that is due, or None.

    Args:
        done: the last write that was tried for a claim; it is not tried again while that claim holds the point.
        rest: what to leave behind; None leaves the point as it is.
        relinquishes: the protocol has priorities of its own, and None gives one up.
    """
    claim = winner(wishes)
    if claim is not None and (done is None or done.claim is None or done.claim.id != claim.id):
        return Step(claim.value, claim.priority, claim)
    if relinquishes:
        held = {c.priority for c in wishes.claims}
        return next((Step(None, priority) for priority in wishes.written if priority not in held), None)
    return Step(rest, DEFAULT) if claim is None and wishes.written and rest is not None else None


def writing(wishes: Wishes, step: Step, *, relinquishes: bool) -> Wishes:
    """Return the wishes as they must be remembered before `step` is written; a kill after it finds what to undo."""
    if step.claim is None or step.claim.pulse:
        return wishes
    places = {*wishes.written, step.priority} if relinquishes else {step.priority}
    return replace(wishes, written=tuple(sorted(places)))


def given_back(wishes: Wishes, step: Step, *, relinquishes: bool) -> Wishes:
    """Return the wishes after the device has taken a step that gives the point back."""
    left = tuple(p for p in wishes.written if p != step.priority) if relinquishes else ()
    return replace(wishes, written=left)


def without(wishes: Wishes, id_: str) -> Wishes:
    """Return the wishes without the claim that command `id_` made."""
    return replace(wishes, claims=tuple(c for c in wishes.claims if c.id != id_))


def save(wishes: Wishes, now: Moment) -> bytes | None:
    """Return the wishes as bytes; None if there is nothing to remember."""
    if not (wishes.claims or wishes.written or wishes.spent):
        return None
    return msgspec.msgpack.encode(_Saved(_FORMAT, wishes, now.wall, now.mono))


def restored(saved: bytes, now: Moment) -> Wishes:
    """Return saved wishes on the clock of `now`.

    What remains of a claim is counted by wall time. A wall clock that was set back has let no time pass.

    Raises:
        FormatError: the bytes are no wishes.
    """
    try:
        old = msgspec.msgpack.decode(saved, type=_Saved)
    except msgspec.MsgspecError as error:
        raise FormatError(f"claims on a point: {error}") from error
    passed = max(0, now.wall - old.wall)
    return replace(old.wishes, claims=tuple(_moved(c, old.mono, passed, now.mono) for c in old.wishes.claims))


def _moved(claim: Claim, then: Micros, passed: Micros, now: Micros) -> Claim:
    if claim.until is None:
        return claim
    return replace(claim, until=now + max(0, claim.until - then - passed))


def _leaving(claim: Claim, at: Micros) -> Claim:
    return replace(claim, until=at if claim.until is None else min(at, claim.until), leaving=True)
