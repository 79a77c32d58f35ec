"""Which shipped profiles the topics of a broker look like. Pure, and a guess: what was published is not read."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from edge.discover.steps import Step
from edge.probe.mqtt import mask
from edge.settings.library import Library
from sitekeeper.faults import Faults

FEWEST: Final = 5
"""Letters of a topic below which it says nothing: `{topic}/+` would be like every other one."""
MOST_GUESSES: Final = 500
"""Devices that are proposed at most."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A topic of a profile, where `{name}` stands for a parameter. `literal`: how many of its letters are none."""

    profile: str
    cls: str
    written: str
    form: "re.Pattern[str]"
    literal: int


@dataclass(slots=True)
class Guess:
    """A device that a profile may be for. `parameters`: what `with:` says; `topics`: those that match."""

    profile: str
    cls: str
    parameters: dict[str, str]
    topics: list[str] = field(default_factory=list)


@cache
def patterns() -> tuple[Pattern, ...]:
    """Return every topic in a shipped profile that a device publishes on."""
    library, found = Library(Path("profiles"), Faults()), dict[tuple[str, str], Pattern]()
    for name in library.names():
        profile = library.profile(name)
        if profile is None:
            continue
        keys = [point.keys for point in profile.points.values()] + [each.keys for each in profile.events.values()]
        for written in {topic for each in keys for topic in _topics(each)}:
            found[name, written] = _pattern(name, profile.file.class_, written)
    return tuple(found[key] for key in sorted(found) if found[key].literal >= FEWEST)


def _topics(keys: Mapping[str, object]) -> list[str]:
    """Return the topics of one point or event; some have several."""
    one = keys.get("topic")
    return [each for each in (one if isinstance(one, list) else [one]) if isinstance(each, str)]


def _pattern(profile: str, cls: str, written: str) -> Pattern:
    parts, seen, literal = list[str](), set[str](), 0
    for part in re.split(r"(\{[a-z_]\w*\}|\+|#)", written):
        name = part[1:-1] if part.startswith("{") else ""
        if name in seen:
            parts.append(f"(?P={name})")
        elif name:
            seen.add(name)
            parts.append(f"(?P<{name}>[^/]+)")
        else:
            literal += sum(map(str.isalnum, part))
            parts.append({"+": "[^/]+", "#": ".*"}.get(part, re.escape(part)))
    return Pattern(profile, cls, written, re.compile("".join(parts)), literal)


def guesses(topics: Iterable[str], known: Sequence[Pattern]) -> tuple[list[Guess], list[str]]:
    """Return the devices that the topics look like, and the topics that look like nothing.

    Of several profiles with the same number of topics that match, the one that leaves less to parameters is taken. A
    topic that names fewer parameters than another of the same device belongs to that.
    """
    found, strange = dict[tuple[str, frozenset[tuple[str, str]]], Guess](), list[str]()
    for topic in topics:
        hits = [(each, match) for each in known if (match := each.form.fullmatch(topic))]
        most = max((each.literal for each, _ in hits), default=0)
        if not most:
            strange.append(topic)
        for each, match in hits:
            key = each.profile, frozenset(match.groupdict().items())
            if each.literal == most and (key in found or len(found) < 2 * MOST_GUESSES):
                guess = found.setdefault(key, Guess(each.profile, each.cls, match.groupdict()))
                guess.topics.append(topic)
    whole = [each for each in found.values() if not _part(each, found.values())]
    return sorted(whole, key=lambda one: (one.profile, sorted(one.parameters.items())))[:MOST_GUESSES], strange


def _part(guess: Guess, every: Iterable[Guess]) -> bool:
    """Tell whether another guess of the same profile says all that this one does, and more."""
    mine = guess.parameters.items()
    return any(each.profile == guess.profile and each.parameters.items() > mine for each in every)


def steps(endpoint: str, topic: str, listen: float, timeout: float) -> list[Step]:
    """Return what listening at a broker sends."""
    return [Step("listen", listen + 4 * timeout, {"endpoint": endpoint, "topic": topic, "listen": f"{listen:g}"})]


def site_yaml(link: Mapping[str, object], found: Sequence[Guess]) -> str:
    """Return the link and one device for each guess; empty without any. What may be personal is masked."""
    if not found:
        return ""
    rows = [
        f"  - {{id: {each.cls}-{number}, profile: {each.profile}, link: broker, with: {_with(_masked(each))}}}"
        for number, each in enumerate(found, 1)
    ]
    keys = json.dumps(dict(link), ensure_ascii=False)
    hidden = any(_masked(each) != each.parameters for each in found)
    said = ["# … stands for what may be a person's: write it in full"] if hidden else []
    return "\n".join([*said, "links:", f"  broker: {keys}", "devices:", *rows, ""])


def _masked(guess: Guess) -> dict[str, str]:
    """Return the parameters; a word that is masked in every topic is masked here, too."""
    shown = [mask(topic) for topic in guess.topics]
    return {name: v if any(v in each for each in shown) else mask(v) for name, v in guess.parameters.items()}


def _with(parameters: Mapping[str, str]) -> str:
    """Return the parameters in YAML: whole numbers as such, unless the text would be another one then."""
    said = {name: int(v) if v.isdecimal() and str(int(v)) == v and len(v) < 5 else v for name, v in parameters.items()}
    return "{" + ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in said.items()) + "}"
