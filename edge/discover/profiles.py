"""The shipped profiles by what they are for: which is that of a device by what it calls itself, and which is near."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Final

from edge.settings.library import Library
from sitekeeper.faults import Faults

FAMILIES: Final[Mapping[str, frozenset[str]]] = {
    "bacnet": frozenset({"property"}),
    "modbus": frozenset({"coil", "discrete", "input", "holding"}),
    "mqtt": frozenset({"topic"}),
}
"""Family of drivers -> keys of a point by which a profile is known to be for it."""
_ALIKE: Final = 0.75


@dataclass(frozen=True, slots=True)
class Known:
    """By what a device may be known: who makes it, and its model; what we designed ourselves has its name only."""

    maker: str
    model: str


@cache
def shipped(family: str) -> Mapping[str, Known]:
    """Return the shipped profiles of a family."""
    library, found = Library(Path("profiles"), Faults()), dict[str, Known]()
    for name in library.names():
        profile = library.profile(name)
        if profile is None:
            continue
        if any(FAMILIES[family] & point.keys.keys() for point in profile.points.values()):
            evidence = profile.file.evidence
            found[name] = Known(evidence.maker or "", evidence.model or "")
    return found


def blanks(name: str) -> dict[str, str]:
    """Return what a device of a shipped Modbus profile must be told by `with:`, and what may stand there, in words."""
    profile = Library(Path("profiles"), Faults()).profile(name)
    if profile is None:
        return {}
    places = [
        str(point.keys[key]) for point in profile.points.values() for key in FAMILIES["modbus"] & point.keys.keys()
    ]
    needed = sorted({word for place in places for word in re.findall(r"[a-z_]\w*", place)})
    ranges = profile.file.with_
    return {each: "{} to {}".format(*ranges[each]) if each in ranges else "a whole number" for each in needed}


def exact_profile(models: Iterable[str], vendor: str, family: str) -> str:
    """Return the only profile whose name, or whose model by the same maker, is what a device calls itself; or nothing.

    Args:
        models: what it says that it is. vendor: who says that he made it; empty if nobody does.
    """
    said = {model.strip().casefold() for model in models} - {""}
    named = [name for name in shipped(family) if name.casefold() in said]
    by_model = [
        name for name, known in shipped(family).items()
        if known.model.casefold() in said and (not vendor or _words(vendor) & _words(known.maker))
    ]  # fmt: skip
    found = named or by_model
    return found[0] if len(found) == 1 else ""


def nearest_profile(names: Iterable[str], family: str) -> str:
    """Return the profile whose maker or model is most like one of the names; empty if none is."""
    said = {word for name in names for word in _words(name)}
    best, found = _ALIKE, ""
    for profile, known in shipped(family).items():
        for word in _words(f"{known.maker} {known.model}"):
            for each in said:
                alike = SequenceMatcher(None, word, each).ratio()
                if alike > best:
                    best, found = alike, profile
    return found


_COMMON: Final = frozenset(
    {"bacnet", "board", "captured", "detector", "detectors", "device", "elevator", "firmware", "gateway"}
    | {"international", "lift", "manual", "modbus", "module", "monitor", "mqtt", "neutral", "panel", "plus", "project"}
    | {"sensor", "series", "unnamed"}
)
"""Words of makers and models that say nothing of who and which."""


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z0-9]{4,}", text.lower()) if word not in _COMMON}
