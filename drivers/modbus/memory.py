"""What a driver knows of a device and keeps over a restart: what it refuses, and what it says that it is. Pure.

It is thrown away when the profile asks for other addresses, or the site for other limits.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.modbus.address import Table
from drivers.modbus.identity import Identity
from drivers.modbus.learned import Kind, Learned, Run
from drivers.modbus.plan import Limits, Span
from sitekeeper.model.clock import Micros

_Address = Annotated[int, Meta(ge=0, le=65535)]
_Count = Annotated[int, Meta(ge=1, le=65536)]


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """`had`: runs of addresses whose points were answered; what older versions kept ends before it."""

    plan: str
    refused: list[tuple[Table, _Address, _Count, Kind]]
    taken: dict[Table, _Count]
    identity: dict[str, str]
    never: list[int]
    had: list[tuple[Table, _Address, _Count]] = []


def plan_of(unit: int, limits: Limits, spans: Iterable[Span]) -> str:
    """Return what stands for everything that a plan is made of."""
    places = sorted({(span.table, span.address, span.size) for span in spans})
    return hashlib.blake2b(repr((unit, limits, places)).encode(), digest_size=8).hexdigest()


def runs(spans: Iterable[Span]) -> list[Run]:
    """Return the addresses of points as few runs, in order."""
    found: list[Run] = []
    for span in sorted(spans):
        last = found[-1] if found else None
        if last is None or last.table != span.table or span.address > last.end:
            found.append(Run(span.table, span.address, span.size))
        elif span.end > last.end:
            found[-1] = Run(last.table, last.address, span.end - last.address)
    return found


def pack(plan: str, learned: Learned, identity: Identity, had: Iterable[Run] = ()) -> bytes:
    """Return what is to be kept; `had`: the addresses of the points that were answered."""
    refused, taken = learned.kept()
    known = identity.known | ({} if identity.steps else identity.objects)
    answered = [(run.table, run.address, run.count) for run in had]
    return msgspec.msgpack.encode(_Kept(plan, refused, taken, known, sorted(identity.never), answered))


def unpack(kept: bytes, plan: str, learned: Learned, identity: Identity, now: Micros) -> list[Run]:
    """Take up what was kept, as far as it is of this plan; what cannot be read was kept by another version.

    Returns:
        the addresses of the points that were answered before.
    """
    try:
        found = msgspec.msgpack.decode(kept, type=_Kept)
    except msgspec.MsgspecError:
        return []
    if found.plan != plan:
        return []
    had = [Run(*each) for each in found.had]
    identity.restore(found.identity, set(found.never))
    learned.restore(found.refused, found.taken, now, had)
    return had
