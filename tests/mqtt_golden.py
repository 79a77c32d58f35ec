"""Golden messages of profiles on MQTT, and a site with one device of each."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edge.settings import Site, load
from sitekeeper.model.clock import SECOND, Moment

MAPS: Final = Path(__file__).parent / "fixtures" / "maps"
SALT: Final = b"0123456789abcdef"
NOW: Final = Moment(wall=1_782_003_600 * SECOND, mono=SECOND)


def golden(*profiles: str) -> dict[str, Any]:
    """Return the golden files of profiles."""
    return {name: json.loads((MAPS / f"{name}.json").read_text(encoding="utf-8")) for name in profiles}


def site_of(folder: Path, files: Mapping[str, Any]) -> Site:
    """Return a site with a device for each golden file, called by its profile, in its place (`with`)."""
    devices = [
        f"  - {{id: {name}, profile: {name}, link: l, with: {json.dumps(file['with'])}}}"
        for name, file in files.items()
    ]
    lines = ["site: {id: maps, timezone: UTC}", "links: {l: {driver: mqtt, host: 10.0.0.1}}", "devices:", *devices]
    (folder / "site.yaml").write_text("\n".join(lines), encoding="utf-8")
    return load(folder, environment={})


def payload(body: object) -> bytes:
    """Return a message as it is on the wire."""
    return body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()
