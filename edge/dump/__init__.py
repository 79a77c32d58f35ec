"""A device as it stands, taken away in a file: what it said, what that means by its profile, and what it says it is.

The file has the form of a golden vector, so it is three things at once: a test of the profile (`tests/fixtures/maps`),
the data of a simulated device (`sk sim --from`), and the evidence that the profile was read in the field. Only what
points are made of is in it: words, octets, or parts of messages. What a class declares is about a kind of device and
passes; a number or a text that a profile adds may be anything, so it is masked unless it was named to be shown.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from drivers.base import PointRead
from drivers.captured import Messages, Octets, Said, Words
from edge.dump.taken import Read, Taken
from edge.rules.derives import Derives
from edge.settings.classes import read_class
from edge.settings.values import Device, Site
from sitekeeper.data import data_path
from sitekeeper.faults import Faults
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import NotFound
from sitekeeper.model.point import ONLINE, PointType
from sitekeeper.model.quality import is_good
from sitekeeper.model.sample import Value
from sitekeeper.profile import ClassFile

OPEN: Final = frozenset({"vendor", "product", "version", "product_name", "model"})
"""What a device says of its kind. Anything else (function 17, objects of its owner or maker) may name the very one."""
HIDDEN: Final = "masked"


def document(
    site: Site,
    device: Device,
    said: Said,
    identity: Mapping[str, str],
    *,
    day: str,
    masked: bool = True,
    show: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the content of the file.

    Args:
        day: on which it was said. masked: leave out who and which one it is. show: points that are not masked.

    Raises:
        NotFound: the device has no point that is to be shown.
    """
    points = [point for group in device.read.groups for point in group.points]
    hidden = hidden_of(site, device, show) if masked else None
    taken = taken_of(device, points, said, hidden)
    derived = _derived(site, device, taken.samples)
    parameters = {k: v if not masked or k in device.addressing else HIDDEN for k, v in device.parameters.items()}
    return {
        "profile": device.profile,
        "source": f"read from a device over {site.links[device.link].kind} on {day}",
        "vectors": [
            {
                "name": f"as it stood on {day}",
                "with": parameters,
                **taken.raw,
                "values": _named(taken.samples),
                "derived": {name: None if name in (hidden or ()) else value for name, value in derived.items()},
            }
        ],
        "identity": {key: value if not masked or key in OPEN else HIDDEN for key, value in identity.items()},
        "masked": sorted(hidden or ()),
        "missing": taken.missing,
    }


def taken_of(device: Device, points: Sequence[PointRead], said: Said, hidden: frozenset[str] | None) -> Taken:
    """Return what goes into the file; `hidden`: the points that are masked, None if nothing is at all."""
    match said:  # each brings in its protocol
        case Words():
            from edge.dump import words

            return words.taken(points, said, hidden)
        case Octets():
            from edge.dump import octets

            return octets.taken(device, points, said, hidden)
        case Messages():
            from edge.dump import messages

            return messages.taken(device, points, said, hidden)


def raw_of(device: Device, point: PointRead, said: Said) -> list[str]:
    """Return what one point was made of, as it came, for people: words, octets, or what stands in a message."""
    match said:
        case Words():
            from edge.dump import words

            return words.raw(point, said)
        case Octets():
            from edge.dump import octets

            return octets.raw(device, point, said)
        case Messages():
            from edge.dump import messages

            return messages.raw(point, said)


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


def _named(samples: Iterable[Read]) -> dict[str, Value]:
    return {point.name: s.value if s is not None and is_good(s.q) else None for point, s in samples}


def _derived(site: Site, device: Device, samples: Iterable[Read]) -> dict[str, Value]:
    """Return what the points that are not read are, if what was said stands as they are."""
    measured = [sample for _, sample in samples if sample is not None]
    derives = Derives(site.derivations, state={}, as_of=None, now=0)
    found = derives.feed(measured) + list(derives.advance(2 * SECOND))
    known = {sample.handle for sample in measured}
    ours = [s for s in found if s.handle not in known and site.points[s.handle].device == device.id]
    return {site.points[s.handle].name: s.value if is_good(s.q) else None for s in ours}
