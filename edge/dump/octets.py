"""BACnet objects in a dump: the octets of the properties of points, and what is masked of them.

A property is masked as a whole, by Null: with that a device says that it has no value. It passes if a point that may be
shown reads it, or if it is small numbers: what else a device may have put there nobody knows.
"""

from collections.abc import Sequence
from typing import Final

from drivers.bacnet.codec import atoms, decoder
from drivers.bacnet.message import BITS, BOOLEAN, DOUBLE, ENUMERATED, NULL, REAL, SIGNED, UNSIGNED, Malformed
from drivers.bacnet.options import BacnetDevice, Place
from drivers.base import PointRead
from drivers.captured import Octets, Property
from edge.dump.taken import Read, Taken
from edge.settings.values import Device
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Sample

_MASKED: Final = b"\x00"
_PLAIN: Final = frozenset({NULL, BOOLEAN, UNSIGNED, SIGNED, REAL, DOUBLE, BITS, ENUMERATED})
_SMALL: Final = 256


def taken(device: Device, points: Sequence[PointRead], said: Octets, hidden: frozenset[str] | None) -> Taken:
    """Return what of an object goes into the file; `hidden`: the points that are masked, None if nothing is."""
    options = device.read.options
    assert isinstance(options, BacnetDevice)
    places = {point.name: _property(point, options) for point in points}
    held = {key: said.properties[key] for key in places.values() if key in said.properties}
    if hidden is not None:
        covered = {places[point.name] for point in points if point.name in hidden}
        read = {places[p.name] for p in points if places[p.name] in held and _good(p, held[places[p.name]])}
        texts = {places[point.name] for point in points if point.type == "text"}
        held = {
            key: data if key not in covered and _passes(data, read=key in read, text=key in texts) else _MASKED
            for key, data in held.items()
        }
    samples: list[Read] = [(point, _sample(point, held.get(places[point.name]))) for point in points]
    missing = sorted(point.name for point in points if places[point.name] not in held)
    own = min((key[:2] for key in held if key[1] == options.object), default=(0, options.object))
    octets = {_written(key, own): data.hex(" ") for key, data in sorted(held.items(), key=_order)}
    return Taken({"device": options.device, "object": f"{own[0]}:{own[1]}", "octets": octets}, samples, missing)


def raw(device: Device, point: PointRead, said: Octets) -> list[str]:
    """Return the octets of one point's property; nothing where they are not there."""
    assert isinstance(device.read.options, BacnetDevice)
    found = said.properties.get(_property(point, device.read.options))
    return [] if found is None else [f"{octet:02x}" for octet in found]


def _property(point: PointRead, options: BacnetDevice) -> Property:
    assert isinstance(point.address, Place)
    return point.address.reference(options)


def _sample(point: PointRead, data: bytes | None) -> Sample | None:
    if data is None or data == _MASKED:
        return None
    assert isinstance(point.address, Place)
    value, q = decoder(point.address.point, point.type)(data)
    return Sample(point.handle, SECOND, value, q)


def _good(point: PointRead, data: bytes) -> bool:
    sample = _sample(point, data)
    return sample is not None and is_good(sample.q)


def _passes(data: bytes, *, read: bool, text: bool) -> bool:
    """Tell whether octets may be shown, no point of them being masked."""
    try:
        found = atoms(data)
    except Malformed:
        return False
    if read and text:
        return True
    small = all(not isinstance(value, int) or 0 <= value < _SMALL for _, value in found)
    return all(tag in _PLAIN for tag, _ in found) and (read or small)


def _written(key: Property, own: tuple[int, int]) -> str:
    """Return how a property is written: with its object only where that is not the device's own."""
    kind, instance, prop, element = key
    name = f"{prop}" if element is None else f"{prop}[{element}]"
    return name if (kind, instance) == own else f"{kind}:{instance} {name}"


def _order(item: tuple[Property, bytes]) -> tuple[int, ...]:
    (kind, instance, prop, element), _ = item
    return kind, instance, prop, -1 if element is None else element
