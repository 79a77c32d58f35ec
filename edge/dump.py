"""A device as it stands, taken away in a file: raw words, what they mean by its profile, and what it says that it is.

The file has the form of a golden vector, so it is three things at once: a test of the profile (`tests/fixtures/maps`),
the data of a simulated unit (`sk sim --from`), and the evidence that the profile was read in the field. Only words of
points are in it, and of those that name somebody or one very thing (texts, serial and card numbers, plates) none.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from drivers.base import PointRead
from drivers.captured import Words
from drivers.modbus.codec import decoder
from drivers.modbus.options import ModbusPoint
from edge.rules.derives import Derives
from edge.settings.values import Device, Site
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Sample, Value

TELLING: Final = re.compile(r"serial|card|plate|person|holder|user|phone|registration|\bname\b|imei|iccid|mac\b")
"""Words in names by which a value is about somebody, or one very thing, and not about a kind of device."""
HIDDEN: Final = "masked"
_X: Final = ord("x")
_NIL: Final = (0, 0x20)


def document(
    site: Site, device: Device, words: Words, identity: Mapping[str, str], *, day: str, masked: bool = True
) -> dict[str, Any]:
    """Return the content of the file.

    Args:
        day: on which the words were read. masked: leave out who and which one it is.
    """
    points = [point for group in device.read.groups for point in group.points]
    hidden = sorted(point.name for point in points if masked and tells(point))
    taken, missing = taken_of(points, words, frozenset(hidden))
    samples = [_sample(point, taken) for point in points]
    kind = site.links[device.link].kind
    return {
        "profile": device.profile,
        "source": f"read from a device over {kind} on {day}",
        "vectors": [
            {
                "name": f"as it stood on {day}",
                "with": dict(device.parameters),
                **{table: _written(table, found) for table, found in taken.items()},
                "values": _named(samples),
                "derived": _derived(site, device, samples),
            }
        ],
        "identity": {key: HIDDEN if masked and TELLING.search(key) else value for key, value in identity.items()},
        "masked": hidden,
        "missing": missing,
    }


def evidence(found: Mapping[str, Any]) -> str:
    """Return the line for the profile, out of which the page of supported devices is made; `?` is for who read it."""
    said = {key.lower().replace("_", " "): value for key, value in found["identity"].items()}
    maker = next((value for key, value in said.items() if "vendor" in key or "maker" in key), "?")
    model = next((value for key, value in said.items() if "model" in key or "product" in key), "?")
    firmware = next((value for key, value in said.items() if "revision" in key or "firmware" in key), "?")
    against = f"SITE ?, firmware {firmware}, {found['source'].rpartition(' on ')[2]}"
    keys = {"maker": maker, "model": model, "document": "?", "place": "?", "against": against}
    return f"evidence: {{level: field, {', '.join(f'{key}: {json.dumps(value)}' for key, value in keys.items())}}}"


def tells(point: PointRead) -> bool:
    """Tell whether a point is about somebody, or one very thing."""
    return point.type == "text" or TELLING.search(point.name.replace("_", " ").replace(".", " ")) is not None


def _places(point: PointRead) -> tuple[str, range]:
    place = point.address
    assert isinstance(place, ModbusPoint)
    return place.table, range(place.address, place.address + place.size)


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
        if point.name in hidden and point.name not in missing:
            taken[table] |= {address: _masked(taken[table][address], text=point.type == "text") for address in at}
    return taken, sorted(missing)


def _masked(word: int, *, text: bool) -> int:
    """Return a word that is as long and says nothing."""
    if not text:
        return 0
    high, low = (byte if byte in _NIL else _X for byte in divmod(word, 256))
    return high << 8 | low


def _sample(point: PointRead, taken: Mapping[str, Mapping[int, int]]) -> tuple[PointRead, Sample | None]:
    table, at = _places(point)
    there = taken.get(table, {})
    if not all(address in there for address in at):
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
