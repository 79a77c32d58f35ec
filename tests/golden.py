"""The golden files of the binary formats, built from values written down here.

`python -m tests.golden --write` writes them anew; nothing else does. Files of a released version never change: a change
of format takes a new version byte and new files beside the old ones; fields at the end of a row only the new files.
"""

import sys
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from sitekeeper import block, catalogue
from sitekeeper.block import Block, Gap, GapCause, Vouch
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CatalogueGroup, CataloguePoint, CatalogueRule
from sitekeeper.model.alarm import AlarmState, Cause, Transition
from sitekeeper.model.asset import Asset
from sitekeeper.model.clock import SECOND
from sitekeeper.model.command import Actor
from sitekeeper.model.event import Event
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Sample

FOLDER: Final = Path(__file__).parent / "fixtures" / "golden"
T0: Final = 1_767_225_600 * SECOND
HEAD: Final[dict[str, Any]] = {
    "site": "harbour-east",
    "epoch": "7f3a9c21",
    "boot": "b-01",
    "catalogue": "0123456789abcdef0123456789abcdef",
    "trusted": True,
    "t0": T0,
    "mono0": 5 * SECOND,
}

SAMPLES: Final = Block(
    stream="samples",
    sequence=42,
    vouch=[Vouch(0, T0 - 200_000, 1_000_000), Vouch(2, T0 - 100_000, 900_000)],
    gaps=[Gap("lift-a2@1s", T0 - 5 * SECOND, T0 - SECOND, GapCause.SILENT)],
    samples=[
        Sample(0, 4_000_000, "closed", GOOD),
        Sample(1, 4_000_000, True, GOOD),
        Sample(2, 4_000_250, -3, GOOD, T0 - 1_000_123),
        Sample(3, 3_999_000, 1.25, 1 << 6 | Reason.AFTER_FAULT),
        Sample(4, 4_900_000, None, bad(Reason.COMM)),
    ],
    **HEAD,
)
EVENTS: Final = Block(
    stream="events",
    sequence=7,
    events=[Event("door-lobby/read", 4_500_000, {"granted": False, "card": "h1:00ff"}, 311, T0 - 500_000, late=True)],
    **HEAD,
)
ALARMS: Final = Block(
    stream="alarms",
    sequence=3,
    transitions=[
        Transition(
            occurrence="harbour-east/lift-a1/L01@7f3a9c21-3",
            key="harbour-east/lift-a1/L01",
            rule="L01",
            source=AlarmState.NORMAL,
            target=AlarmState.UNACKED,
            cause=Cause.RAISE,
            priority="P1",
            at=T0,
            mono=5 * SECOND,
            latched=True,
            actor=Actor("chan", "operator", "site"),
            note="called",
            detail="held for 30 s",
            values={"floor": (7, GOOD), "door_zone": (None, bad(Reason.STALE))},
            limits={"stuck_for": "30s"},
            revision="a1b2",
            ack_id="k-1",
            mode="watch",
            volatile=True,
        )
    ],
    **HEAD,
)
HELD: Final = Block(
    stream="alarms",
    sequence=4,
    transitions=[
        Transition(
            occurrence="harbour-east/lift-a1/L22@7f3a9c21-4",
            key="harbour-east/lift-a1/L22",
            rule="L22",
            source=AlarmState.UNACKED,
            target=AlarmState.SUPPRESSED,
            cause=Cause.SUPPRESS,
            priority="P2",
            at=T0,
            mono=5 * SECOND,
            latched=False,
            base=AlarmState.UNACKED,
            until=T0 + SECOND,
            by="link-one/GW20",
            parent="L01",
        )
    ],
    **HEAD,
)
CATALOGUE: Final = Catalogue(
    site="harbour-east",
    names={"en": "Harbour East Estate", "zh-Hant": "海港東苑"},
    timezone="Asia/Hong_Kong",
    groups=(CatalogueGroup("lift-a1@1s", "lift-a1", SECOND),),
    devices=(CatalogueDevice("lift-a1", "lift", "sp-lift-1", {"en": "Lift 1"}, "tower-a", ("fire",), Asset(floors=9)),),
    points=(
        CataloguePoint("lift-a1/floor", "lift-a1", "int", "lift-a1@1s"),
        CataloguePoint("lift-a1/online", "lift-a1", "bool"),
        CataloguePoint("lift-a1/power", "lift-a1", "enum", "lift-a1@1s", "", ("mains", "failed"), "", 0.0, {"en": "P"}),
    ),
    rules=(CatalogueRule("L01", "P1", {"en": "Entrapment"}, "lift-entrapment"),),
)


LIFE_SAFETY: Final = replace(
    CATALOGUE, rules=(CatalogueRule("L01", "P1", {"en": "Entrapment"}, "lift-entrapment", "security", ("offline",)),)
)

SECRETS: Final = replace(LIFE_SAFETY, secrets=("read.event/duress",))

EARLIER: Final = frozenset({"block-v1-alarms.bin", "catalogue-v1.bin", "catalogue-v1-flags.bin"})
"""Written before transitions, rules and catalogues got further fields at their end: read, and no longer made."""


def golden() -> dict[str, bytes]:
    """Return the content of each golden file by name, without the `EARLIER` ones."""
    return {
        "block-v1-samples.bin": block.encode(SAMPLES),
        "block-v1-events.bin": block.encode(EVENTS),
        "block-v1-alarms-held.bin": block.encode(HELD),
        "catalogue-v1-secrets.bin": catalogue.encode(SECRETS),
    }


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.golden --write")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in golden().items():
        (FOLDER / name).write_bytes(content)
