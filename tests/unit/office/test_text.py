"""What stands on a locked phone, and what survives when a message must be short."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cloud_sync.store.base import Push
from office.notify.stages import Case
from office.notify.text import GLANCE, MAX_BYTES, MAX_TITLE, message
from sitekeeper.catalogue import Catalogue, CatalogueDevice, CataloguePoint, CatalogueRule
from sitekeeper.model.alarm import Cause
from sitekeeper.model.asset import Asset
from sitekeeper.model.clock import MINUTE, SECOND
from sitekeeper.model.quality import GOOD, Reason, bad

from .conftest import case, transition

AT = 1_763_791_380 * SECOND  # 2025-11-22 14:03:00 in Hong Kong
ROW = Push(occurrence="o", event_id="e", recipient="desk", channel="desk")
CATALOGUE = Catalogue(
    site="hq",
    names={"en": "Pine Court", "zh-Hant": "松濤苑一期"},
    timezone="Asia/Hong_Kong",
    devices=(
        CatalogueDevice(
            "lift-a1", "lift", "sp-lift-1", {"en": "Tower A lift 1", "zh-Hant": "3號樓客梯2"},
            asset=Asset(rescue_phone="+852 2345 6789"),
        ),
    ),
    points=(
        CataloguePoint("lift-a1/door_closed", "lift-a1", "bool", names={"en": "Door closed"}),
        CataloguePoint("lift-a1/floor", "lift-a1", "int", names={"en": "Floor", "zh-Hant": "樓層"}),
        CataloguePoint("lift-a1/load", "lift-a1", "float", unit="%", names={"en": "Load"}),
    ),
    rules=(CatalogueRule("L01", "P1", {"en": "Entrapment", "zh-Hant": "電梯困人"}, "lift-entrapment"),),
)  # fmt: skip
VALUES = {"door_closed": (True, GOOD), "load": (12.5, GOOD), "floor": (7, GOOD), "speed": (None, bad(Reason.COMM))}


def trapped(**fields: object) -> Case:
    return replace(
        case(), transition=transition(at=AT, values=VALUES, detail="stuck for 30 s, person inside", **fields)
    )


def test_the_first_forty_characters_carry_severity_what_and_where() -> None:
    """In Chinese the site fits too, as in the operator's mock-up; in English the device does."""
    zh = message(trapped(), ROW, CATALOGUE, "zh-Hant", AT).title
    en = message(trapped(), ROW, CATALOGUE, "en", AT).title
    assert zh == "【緊急】電梯困人｜松濤苑一期 3號樓客梯2｜14:03"
    assert en == "CRITICAL: Entrapment | Tower A lift 1 | Pine Court | 14:03"
    assert "Tower A lift 1" in en[:GLANCE]


def test_the_body_answers_a_rescuer_in_order() -> None:
    """Floor first among the values, then the others with units and reasons, phone, steps, and the event id last."""
    body = message(trapped(), ROW, CATALOGUE, "en", AT + 2 * MINUTE).body.splitlines()
    wanted = [
        "Entrapment (L01), life safety", "Tower A lift 1 (lift-a1), Pine Court (hq)",
        "Since 2025-11-22 14:03:00 +08:00, 2 min 0 s before this message", "Floor: 7", "Door closed: yes",
        "Load: 12.5 %",
        "speed: unknown (no answer from the device)", "stuck for 30 s, person inside", "Rescue phone: +852 2345 6789",
        "What to do:",
    ]  # fmt: skip
    assert body[: len(wanted)] == wanted
    assert body[len(wanted)].startswith("1. ")
    assert body[-1] == "Event hq/lift-a1/L01@e1-1"


def test_a_possible_repeat_says_so_in_words() -> None:
    """A marked attempt tells the reader, not only the machine; an unmarked one does not."""
    marked = message(trapped(), replace(ROW, possible_repeat=True, attempt=2), CATALOGUE, "en", AT)
    assert "may repeat" in marked.body
    assert (marked.possible_repeat, marked.attempt) == (True, 2)
    assert "may repeat" not in message(trapped(), ROW, CATALOGUE, "en", AT).body


def test_a_reannunciation_is_told_apart_at_a_glance() -> None:
    """The word for "again" stands within the first forty characters."""
    again = message(trapped(cause=Cause.REANNUNCIATE), ROW, CATALOGUE, "en", AT).title
    assert "(again)" in again[:GLANCE]


def test_without_a_catalogue_ids_stand_in() -> None:
    """An alarm whose catalogue is missing is still pushed, with ids and UTC."""
    made = message(trapped(), ROW, None, "en", AT)
    assert made.title == "CRITICAL: L01 | lift-a1, hq | 06:03"
    assert "Floor: 7" in made.body or "floor: 7" in made.body


@pytest.mark.parametrize("lang", ["en", "zh-Hant", "zh-Hans"])
def test_the_silent_site_has_words_of_the_office(lang: str) -> None:
    """GW01 is in no site's catalogue; the office has its name and its steps in every language."""
    moved = transition(key="hq/gateway/GW01", priority="P2", at=AT)
    made = message(replace(case(), transition=moved), ROW, CATALOGUE, lang, AT)
    assert "GW01" not in made.title
    assert "1. " in made.body


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200).filter(
    str.strip
)


@settings(max_examples=15, deadline=None)
@given(names, names, names, names, st.sampled_from(["en", "zh-Hant", "zh-Hans"]), st.booleans())
def test_no_names_push_the_essentials_out(
    rule: str, device: str, site: str, detail: str, lang: str, repeat: bool
) -> None:
    """Whatever people name things, the glance has all three parts, the limits hold, floor, phone and event id stay."""
    catalogue = msg_catalogue(rule, device, site)
    values = {f"p{n}": (detail, GOOD) for n in range(40)} | {"floor": (7, GOOD)}
    given_case = replace(case(), transition=transition(at=AT, values=values, detail=detail))
    made = message(given_case, replace(ROW, possible_repeat=repeat), catalogue, lang, AT)
    assert len(made.title) <= MAX_TITLE
    assert len(made.title.encode()) + 1 + len(made.body.encode()) <= MAX_BYTES
    flat_rule, flat_device = " ".join(rule.split()), " ".join(device.split())
    glance = made.title[:GLANCE]
    assert flat_rule[:5].rstrip() in glance
    assert flat_device[:5].rstrip() in glance
    assert re.search(r"7$", made.body, re.MULTILINE)
    assert "+852 2345 6789" in made.body
    assert made.body.endswith("hq/lift-a1/L01@e1-1")


def msg_catalogue(rule: str, device: str, site: str) -> Catalogue:
    return Catalogue(
        site="hq",
        names={"en": site},
        devices=(CatalogueDevice("lift-a1", "lift", "x", {"en": device}, asset=Asset(rescue_phone="+852 2345 6789")),),
        rules=(CatalogueRule("L01", "P1", {"en": rule}, "lift-entrapment"),),
    )
