"""What the `with:` of a device may say by its profile: a number beyond it would read another part of the same unit."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from edge.settings import load
from sitekeeper.data import data_path
from sitekeeper.faults import Faults
from sitekeeper.located_yaml import read_document
from sitekeeper.model.errors import ConfigError

HEAD = """\
site: {id: s, timezone: UTC}
links: {m: {driver: modbus-tcp, host: 10.0.0.1}, q: {driver: mqtt, host: 10.0.0.1}}
devices:
"""
OTHERS = {
    "dali-emergency": "channel: 0", "dali-gear": "channel: 0", "dali-group": "channel: 0",
    "uhppote-door": "site: s, client: k, controller: 1, zone: UTC",
}  # fmt: skip
"""What a device of the profile says besides."""
TOPICS = {"uhppote-door"}
"""Profiles on MQTT."""
ANYTHING = {
    ("dali-emergency", "channel"),
    ("dali-gear", "channel"),
    ("dali-group", "channel"),
    ("notifier-modbus-gw", "register"),
}
"""Parameters of addresses whose highest value no document of ours tells; an address beyond 65535 is refused as such."""


def written() -> dict[str, dict[str, list[int]]]:
    """Return what each shipped profile says of parameters."""
    found = {}
    for path in sorted(data_path("profiles").glob("*.yaml")):
        document = read_document(path, path.name, Faults())
        assert document is not None
        assert isinstance(document.data, dict)
        found[path.stem] = document.data.get("with", {})
    return found


RANGES = {(profile, name): limits for profile, each in written().items() for name, limits in each.items()}


def loaded(folder: Path, given: Iterable[tuple[str, str, object]]) -> None:
    """Load a site with a device for each profile, parameter and value, from line 4 of its file on."""
    lines = []
    for unit, (profile, name, value) in enumerate(given, 1):
        link = "q" if profile in TOPICS else f"m, unit: {unit}"
        more = f", {OTHERS[profile]}" if profile in OTHERS else ""
        lines.append(f"  - {{id: it-{unit}, profile: {profile}, link: {link}, with: {{{name}: {value}{more}}}}}")
    (folder / "site.yaml").write_text(HEAD + "\n".join(lines), encoding="utf-8")
    load(folder, environment={})


def test_a_number_out_of_range_is_refused_where_it_stands(tmp_path: Path) -> None:
    """Both ends are taken; the next number, and what is no whole number, is refused in its own line with the remedy."""
    for end in (0, 1):
        loaded(tmp_path, [(*key, limits[end]) for key, limits in RANGES.items()])
    beyond = [
        (*key, value)
        for key, (least, most) in RANGES.items()
        for value in (least - 1, most + 1, f'"{least}.5"', "one", '""')
    ]
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, beyond)
    found = [fault for fault in refused.value.faults if fault.code == "bad-address"]
    assert [(fault.file, fault.line) for fault in found] == [("site.yaml", 4 + n) for n in range(len(beyond))]
    for fault, (profile, name, _) in zip(found, beyond, strict=True):
        least, most = RANGES[(profile, name)]
        assert f"write a whole number from {least} to {most}" in fault.message


def test_every_number_in_an_address_has_a_range() -> None:
    """No profile of a unit with many alike parts forgets how many these are."""
    used = set()
    for path in data_path("profiles").glob("*.yaml"):
        for address in re.findall(
            r"(?:coil|discrete|input|holding): ([^,}\n]*[a-z][^,}\n]*)", path.read_text(encoding="utf-8")
        ):
            used |= {(path.stem, name) for name in re.findall(r"[a-z_]+", address.partition("#")[0])}
    assert used - RANGES.keys() == ANYTHING
    assert {(profile, name) for profile, name in RANGES if profile != "uhppote-door"} <= used
