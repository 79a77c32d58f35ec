"""A device as it stands, taken away in a file: raw words, what they mean by its profile, and what it says that it is.

The file has the form of a golden vector, so it is three things at once: a test of the profile (`tests/fixtures/maps`),
the data of a simulated unit (`sk sim --from`), and the evidence that the profile was read in the field. Only words of
points are in it. What a class declares is about a kind of device and passes; a number or a text that a profile adds may
be anything, so it is masked unless it was named to be shown.
"""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from drivers.base import PointRead
from drivers.captured import Words
from drivers.modbus.codec import decoder
from drivers.modbus.options import ModbusPoint
from edge.rules.derives import Derives
from edge.settings.classes import read_class
from edge.settings.values import Device, Site
from sitekeeper.data import data_path
from sitekeeper.faults import Faults
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import NotFound
from sitekeeper.model.point import ONLINE, PointType
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Sample, Value
from sitekeeper.profile import ClassFile

OPEN: Final = frozenset({"vendor", "product", "version", "product_name", "model"})
"""What a device says of its kind. Anything else (function 17, objects of its owner or maker) may name the very one."""
HIDDEN: Final = "masked"
_X: Final = 0x7878
_ALL: Final = 0xFFFF

Covered = Mapping[tuple[str, int], int]
"""By table and address the bits that are masked."""


def document(
    site: Site,
    device: Device,
    words: Words,
    identity: Mapping[str, str],
    *,
    day: str,
    masked: bool = True,
    show: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the content of the file.

    Args:
        day: on which the words were read. masked: leave out who and which one it is. show: points that are not masked.

    Raises:
        NotFound: the device has no point that is to be shown.
    """
    points = [point for group in device.read.groups for point in group.points]
    hidden = hidden_of(site, device, show) if masked else frozenset()
    taken, missing = taken_of(points, words, hidden)
    covered = _covered(point for point in points if point.name in hidden)
    samples = [_sample(point, taken, covered) for point in points]
    kind = site.links[device.link].kind
    derived = _derived(site, device, samples)
    parameters = {k: v if not masked or k in device.addressing else HIDDEN for k, v in device.parameters.items()}
    return {
        "profile": device.profile,
        "source": f"read from a device over {kind} on {day}",
        "vectors": [
            {
                "name": f"as it stood on {day}",
                "with": parameters,
                **{table: _written(table, found) for table, found in taken.items()},
                "values": _named(samples),
                "derived": {name: None if name in hidden else value for name, value in derived.items()},
            }
        ],
        "identity": {key: value if not masked or key in OPEN else HIDDEN for key, value in identity.items()},
        "masked": sorted(hidden),
        "missing": missing,
    }


def evidence(found: Mapping[str, Any]) -> str:
    """Return the line for the profile, out of which the page of supported devices is made; `?` is for who read it."""
    said = found["identity"]
    model = next((said[key] for key in ("model", "product_name", "product") if said.get(key)), "?")
    against = f"SITE ?, firmware {said.get('version', '?')}, {found['source'].rpartition(' on ')[2]}"
    keys = {"maker": said.get("vendor", "?"), "model": model, "document": "?", "place": "?", "against": against}
    return f"evidence: {{level: field, {', '.join(f'{key}: {json.dumps(value)}' for key, value in keys.items())}}}"


def hidden_of(site: Site, device: Device, show: Iterable[str]) -> frozenset[str]:
    """Return the points of a device that are masked.

    Raises:
        NotFound: it has no point that is to be shown; upper and lower case are the same.
    """
    ours = {p.name.casefold(): p for p in site.points if p.device == device.id and p.name != ONLINE}
    shown = {name.casefold() for name in show}
    for name in sorted(shown - ours.keys()):
        raise NotFound(f"no point {name!r} of {device.id} here", near=tuple(get_close_matches(name, ours, n=3)))
    cls = read_class(data_path("classes", f"{device.cls}.yaml"), device.cls, Faults())
    return frozenset(p.name for key, p in ours.items() if key not in shown and tells(p.name, p.type, cls))


def tells(name: str, kind: PointType, cls: ClassFile | None) -> bool:
    """Tell whether a point may be about somebody, or one very thing: by its type, if its class does not declare it."""
    if cls is None or name not in cls.points:
        return kind in ("int", "text")
    personal = {key for event in cls.events.values() for key, field in event.fields.items() if field.personal}
    return not personal.isdisjoint(name.casefold().split("."))


def _places(point: PointRead) -> tuple[str, range]:
    place = point.address
    assert isinstance(place, ModbusPoint)
    return place.table, range(place.address, place.address + place.size)


def _bits(point: PointRead) -> int:
    """Return the bits of its words that a point is made of; all, where that is not plain."""
    place = point.address
    assert isinstance(place, ModbusPoint)
    if place.bits or place.size > 1 or place.order != "ABCD" or point.type == "text":
        return _ALL
    if place.byte is not None:
        return 0xFF00 if place.byte == "high" else 0x00FF
    if place.bit is not None:
        return 1 << place.bit
    if place.field_bits is not None:
        low, high = place.field_bits
        return (1 << high + 1) - (1 << low)
    return _ALL


def _covered(points: Iterable[PointRead]) -> Covered:
    found: dict[tuple[str, int], int] = {}
    for point in points:
        table, at = _places(point)
        for address in at:
            found[table, address] = found.get((table, address), 0) | _bits(point)
    return found


def taken_of(
    points: Iterable[PointRead], words: Words, hidden: frozenset[str]
) -> tuple[dict[str, dict[int, int]], list[str]]:
    """Return the words of points, masked where they have to be, and the points of which some are not there."""
    taken: dict[str, dict[int, int]] = {}
    missing = []
    for point in points:
        table, at = _places(point)
        there = words.get(table, {})
        if not all(address in there for address in at):
            missing.append(point.name)
            continue
        taken.setdefault(table, {}).update({address: there[address] for address in at})
    for point in points:  # after all are in: a register may be that of several points
        table, at = _places(point)
        for address in at if point.name in hidden else ():
            if address in taken.get(table, {}):
                taken[table][address] = _X if point.type == "text" else taken[table][address] & ~_bits(point)
    return taken, sorted(missing)


def _sample(
    point: PointRead, taken: Mapping[str, Mapping[int, int]], covered: Covered
) -> tuple[PointRead, Sample | None]:
    """Return what a point is by the words; nothing, where one is not there or masked: what stands there is no value."""
    table, at = _places(point)
    there = taken.get(table, {})
    if not all(address in there and not _bits(point) & covered.get((table, address), 0) for address in at):
        return point, None
    place = point.address
    assert isinstance(place, ModbusPoint)
    data = bytes([there[at.start]]) if place.bits else b"".join(there[address].to_bytes(2) for address in at)
    value, q = decoder(place, point.type)(data)
    return point, Sample(point.handle, SECOND, value, q)


def _named(samples: Iterable[tuple[PointRead, Sample | None]]) -> dict[str, Value]:
    return {point.name: s.value if s is not None and is_good(s.q) else None for point, s in samples}


def _derived(site: Site, device: Device, samples: Iterable[tuple[PointRead, Sample | None]]) -> dict[str, Value]:
    """Return what the points that no register holds are, if the words stand as they are."""
    measured = [sample for _, sample in samples if sample is not None]
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    found = derives.feed(measured) + list(derives.advance(2 * SECOND))
    known = {sample.handle for sample in measured}
    ours = [s for s in found if s.handle not in known and site.points[s.handle].device == device.id]
    return {site.points[s.handle].name: s.value if is_good(s.q) else None for s in ours}


def _written(table: str, words: Mapping[int, int]) -> dict[str, int | str]:
    bits = table in ("coil", "discrete")
    return {str(address): word if bits else f"0x{word:04X}" for address, word in sorted(words.items())}
