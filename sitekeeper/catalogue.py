"""The catalogue: what the numbers in blocks mean. Sent before the first block that names it; known by its hash.

Layout: the envelope of `sitekeeper.frame` around one MessagePack array in the order of `Catalogue`'s fields. Equal
catalogues give equal bytes. Rows may get new fields at their end.
"""

import hashlib
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from sitekeeper.frame import seal, unseal
from sitekeeper.model.alarm import Priority
from sitekeeper.model.asset import Asset
from sitekeeper.model.clock import Micros
from sitekeeper.model.errors import FormatError
from sitekeeper.model.point import Names, PointKind, PointType

MAX_CATALOGUE: Final = 1024 * 1024
"""Bytes of an encoded catalogue, at most: 20,000 points with names in three languages fit."""
MAX_BODY: Final = 16 * 1024 * 1024

_Id = Annotated[str, Meta(min_length=1, max_length=200)]


class CatalogueGroup(msgspec.Struct, frozen=True, array_like=True):
    """A scan group; its index is what a block's vouches name."""

    id: _Id
    device: _Id
    period: Annotated[Micros, Meta(gt=0)]


class CatalogueDevice(msgspec.Struct, frozen=True, array_like=True):
    """A device: class, profile, where it stands, what it is called, its equipment record."""

    id: _Id
    cls: str
    profile: str
    names: Names = {}
    zone: str = ""
    tags: tuple[str, ...] = ()
    asset: Asset = Asset()


class CataloguePoint(msgspec.Struct, frozen=True, array_like=True):
    """A point; its index is its handle. `group` is empty for points that no scan reads."""

    id: _Id
    device: _Id
    type: PointType
    group: str = ""
    unit: str = ""
    members: tuple[str, ...] = ()
    kind: PointKind = ""
    deadband: float = 0.0
    names: Names = {}


class CatalogueRule(msgspec.Struct, frozen=True, array_like=True):
    """What the office needs to speak of a rule's alarms: the playbook's name, priority and names by language.

    `audience`: who alone is pushed, empty for all. `flags`: `life_safety`, `offline`.
    """

    id: _Id
    priority: Priority
    names: Names = {}
    playbook: str = ""
    audience: str = ""
    flags: tuple[str, ...] = ()


class Catalogue(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One site as its blocks speak of it. Groups, devices, points and rules are sorted by id.

    `secrets`: fields of events that only the role `security` is shown, of whatever device: `read.event/duress`.
    """

    site: _Id
    names: Names = {}
    timezone: str = "UTC"
    groups: tuple[CatalogueGroup, ...] = ()
    devices: tuple[CatalogueDevice, ...] = ()
    points: tuple[CataloguePoint, ...] = ()
    rules: tuple[CatalogueRule, ...] = ()
    secrets: tuple[str, ...] = ()


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(Catalogue)


def encode(catalogue: Catalogue) -> bytes:
    """Return the catalogue's bytes.

    Raises:
        FormatError: not sorted, names a device or group that it does not hold, or is too large.
    """
    _check(catalogue)
    body = _encoder.encode(catalogue)
    data = seal(body)
    if len(body) > MAX_BODY or len(data) > MAX_CATALOGUE:
        msg = f"the catalogue has {len(data)} bytes, at most {MAX_CATALOGUE} are allowed"
        raise FormatError(msg)
    return data


def decode(data: bytes) -> Catalogue:
    """Return the catalogue in `data`.

    Raises:
        FormatTooNew: made by a newer version of this software.
        FormatError: not a catalogue, damaged, inconsistent, or beyond a limit.
    """
    body = unseal(data, max_encoded=MAX_CATALOGUE, max_body=MAX_BODY)
    try:
        catalogue = _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        msg = f"not a catalogue: {error}"
        raise FormatError(msg) from None
    _check(catalogue)
    return catalogue


def catalogue_hash(data: bytes) -> str:
    """Return the name of an encoded catalogue: BLAKE2b (RFC 7693), 128 bits, in hex."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _check(catalogue: Catalogue) -> None:
    devices = _sorted("device", [row.id for row in catalogue.devices])
    groups = _sorted("scan group", [row.id for row in catalogue.groups])
    _sorted("point", [row.id for row in catalogue.points])
    _sorted("rule", [row.id for row in catalogue.rules])
    owners = [(row.id, row.device) for row in catalogue.groups] + [(row.id, row.device) for row in catalogue.points]
    for each, device in owners:
        if device not in devices:
            msg = f"{each} belongs to {device!r}, which is no device of the catalogue"
            raise FormatError(msg)
    for point in catalogue.points:
        if point.group and point.group not in groups:
            msg = f"{point.id} is read with {point.group!r}, which is no scan group of the catalogue"
            raise FormatError(msg)
        if not point.id.startswith(f"{point.device}/"):
            msg = f"{point.id} does not begin with the name of its device {point.device}"
            raise FormatError(msg)


def _sorted(what: str, ids: list[str]) -> set[str]:
    seen: set[str] = set()
    before = ""
    for each in ids:
        if each <= before:
            msg = f"{what} {each!r} comes after {before!r}"
            raise FormatError(msg)
        seen.add(each)
        before = each
    return seen
