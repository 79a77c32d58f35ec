"""The page of supported devices, worked out from config/profiles. `python -m tests.docs.supported_page` writes it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from edge.settings.library import Library, Profile
from sitekeeper.faults import Faults
from tests.docs.pages import DOCS, ROOT

PAGE: Final = DOCS / "SUPPORTED.md"
MAPS: Final = ROOT / "tests" / "fixtures" / "maps"
MAKERS, STANDARDS, OURS = "## By maker", "## By standard", "## By our own convention"
LEFT_OUT: Final = "## What they do not reach"
HEADINGS: Final = (MAKERS, STANDARDS, OURS, LEFT_OUT)
PROTOCOLS: Final[Mapping[str, str]] = {"property": "BACnet/IP", "topic": "MQTT"}
"""The protocol of a profile by a key of its points; with none of them it is Modbus."""
LEVELS: Final[Mapping[str, str]] = {
    "designed": "designed",
    "documented": "documented",
    "simulated": "against another implementation",
    "field": "field",
}


def profiles() -> list[Profile]:
    """Return every shipped profile, in the order of the page."""
    library, faults = Library(Path("none"), Faults()), Faults()
    found = [profile for name in library.names() if (profile := library.profile(name)) is not None]
    faults.stop_if_any()
    return sorted(found, key=lambda each: (device(each).lower(), each.file.profile))


def tables() -> dict[str, list[list[str]]]:
    """Return the rows of each table by its heading."""
    found: dict[str, list[list[str]]] = {heading: [] for heading in HEADINGS}
    for profile in profiles():
        found[_heading(profile)].append(row(profile))
        name = f"`{profile.file.profile}`"
        found[LEFT_OUT] += [[name, text] for text in profile.file.evidence.left_out]
    return found


def _heading(profile: Profile) -> str:
    evidence = profile.file.evidence
    if evidence.level == "designed":
        return OURS
    return MAKERS if evidence.maker else STANDARDS


def row(profile: Profile) -> list[str]:
    """Return device, profile, protocol, what is read and written, evidence, golden vectors and source."""
    file = profile.file
    level = LEVELS[file.evidence.level]
    proof = f"{level}: {file.evidence.against}" if file.evidence.against else level
    writes = ", ".join(f"`{point}`" for point, each in profile.points.items() if each.writes)
    words = [device(profile), f"`{file.profile}`", protocol(profile), reads(profile), writes or "-"]
    return [*words, proof, vectors(file.profile), source(profile)]


def device(profile: Profile) -> str:
    """Return what it is: maker and model, or the name of what many makers have."""
    evidence = profile.file.evidence
    return f"{evidence.maker} {evidence.model}" if evidence.maker else profile.file.name["en"]


def protocol(profile: Profile) -> str:
    keys = {key for point in profile.points.values() for key in point.keys}
    return next((name for key, name in PROTOCOLS.items() if key in keys), "Modbus")


def reads(profile: Profile) -> str:
    """Return the class and the names of its points and events; those of the profile's own are only counted."""
    own = [name for name in profile.points if profile.file.points[name].own is not None]
    names = [f"`{name}`" for name in (*profile.points, *profile.events) if name not in own]
    more = f"; {len(own)} of its own" if own else ""
    return f"{profile.file.class_}: {', '.join(names)}{more}"


def vectors(name: str) -> str:
    """Return how many golden vectors there are, and how many of them are examples of the source itself."""
    path = MAPS / f"{name}.json"
    if not path.exists():
        return "-"
    golden = json.loads(path.read_text(encoding="utf-8"))
    found = golden["vectors"] if "vectors" in golden else [*golden.get("states", ()), *golden.get("events", ())]
    examples = sum("example" in each for each in found)
    return f"{len(found)}" + (f", {examples} from the source" if examples else "")


def source(profile: Profile) -> str:
    evidence = profile.file.evidence
    parts = (evidence.document, evidence.version, evidence.place)
    return ", ".join(part for part in parts if part) or "-"


def lines() -> Iterator[tuple[str, list[str]]]:
    """Yield each heading with the rows as they stand on the page."""
    for heading, rows in tables().items():
        yield heading, [f"| {' | '.join(row)} |" for row in rows]


def main() -> None:
    """Put the tables of today in the place of those on the page."""
    text = PAGE.read_text(encoding="utf-8")
    for heading, rows in lines():
        before, _, after = text.partition(f"{heading}\n")
        old = after.split("\n")
        first = next(number for number, line in enumerate(old) if line.startswith("|---")) + 1
        last = next(number for number in range(first, len(old)) if not old[number].startswith("|"))
        text = before + heading + "\n" + "\n".join([*old[:first], *rows, *old[last:]])
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
