"""What a driver knows of a device and keeps over a restart: what it refuses, and what it says that it is. Pure.

It is thrown away when the profile asks for other addresses, or the site for other limits.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from drivers.modbus.address import Table
from drivers.modbus.identity import Identity
from drivers.modbus.learned import Kind, Learned
from drivers.modbus.plan import Limits, Span
from sitekeeper.model.clock import Micros


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    plan: str
    refused: list[tuple[Table, int, int, Kind]]
    taken: dict[Table, int]
    identity: dict[str, str]
    never: list[int]


def plan_of(unit: int, limits: Limits, spans: Iterable[Span]) -> str:
    """Return what stands for everything that a plan is made of."""
    places = sorted({(span.table, span.address, span.size) for span in spans})
    return hashlib.blake2b(repr((unit, limits, places)).encode(), digest_size=8).hexdigest()


def pack(plan: str, learned: Learned, identity: Identity) -> bytes:
    """Return what is to be kept."""
    refused, taken = learned.kept()
    known = identity.known | ({} if identity.steps else identity.objects)
    return msgspec.msgpack.encode(_Kept(plan, refused, taken, known, sorted(identity.never)))


def unpack(kept: bytes, plan: str, learned: Learned, identity: Identity, now: Micros) -> None:
    """Take up what was kept, as far as it is of this plan; what cannot be read was kept by another version."""
    try:
        found = msgspec.msgpack.decode(kept, type=_Kept)
    except msgspec.MsgspecError:
        return
    if found.plan != plan:
        return
    identity.restore(found.identity, set(found.never))
    learned.restore(found.refused, found.taken, now)
