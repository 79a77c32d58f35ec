"""The shipped profiles by what they are for: which of them is nearest to the names that a device gives itself."""

import re
from collections.abc import Iterable, Mapping
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


@cache
def shipped(family: str) -> Mapping[str, str]:
    """Return the shipped profiles of a family, each with the words by which its device may be known."""
    library, found = Library(Path("profiles"), Faults()), dict[str, str]()
    for name in library.names():
        profile = library.profile(name)
        if profile is None:
            continue
        if any(FAMILIES[family] & point.keys.keys() for point in profile.points.values()):
            evidence = profile.file.evidence
            said = (evidence.maker, evidence.model, evidence.document, *profile.file.name.values())
            found[name] = " ".join((name, *(text for text in said if text)))
    return found


def nearest_profile(names: Iterable[str], family: str) -> str:
    """Return the profile whose words are most like one of the names; empty if none is."""
    said = {word for name in names for word in _words(name)}
    best, found = _ALIKE, ""
    for profile, text in shipped(family).items():
        for word in _words(text):
            for each in said:
                alike = SequenceMatcher(None, word, each).ratio()
                if alike > best:
                    best, found = alike, profile
    return found


_COMMON: Final = frozenset(
    {"manual", "page", "pages", "user", "domain", "brief", "designed", "bacnet", "modbus", "mqtt", "device", "captured"}
)


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z0-9]{4,}", text.lower()) if word not in _COMMON}
