"""What `sk why` makes of facts: which hop is broken, and what to type next."""

from typing import Any

import pytest

from edge.doctor.hops import broken, walk
from sitekeeper.texts import LANGUAGES

NAMES = ["wire", "decode", "quality", "changes", "rules", "recorder", "outbox", "broker", "office"]
UPLINK = {"state": "connected", "protocol": "5", "receipt_age_s": 1.5, "last_error": ""}


def facts(**more: Any) -> dict[str, Any]:
    """Return the facts of a good point whose last change the office has, but for `more`."""
    well: dict[str, Any] = {
        "point": {
            "id": "l/floor", "value": 3, "unit": "", "quality": "good", "age_s": 0.4, "at": "2026-03-01T10:00:00Z",
        },
        "device": {
            "id": "l", "state": "answers", "endpoint": "10.1.3.41:502 unit 1", "link": "a", "profile": "sp-lift-1",
            "last_error": "", "last_good": None, "groups": [{"id": "l@1s", "period_s": 1.0, "good_s_ago": 0.4}],
        },
        "status": {"uptime_s": 3600, "outbox": {"state": "ok", "samples_dropped": 0}},
        "sync": {"uplink": UPLINK, "unsent": {"samples": {"blocks": 0}}},
        "driver": "modbus-tcp", "endpoint": "", "group": "l@1s", "deadband": 0.0, "stale_after_s": 5.0,
        "frozen": False, "address": {"input": 5}, "raw": ["0003"],
        "derived_from": [], "rules": [{"rule": "L01", "state": "A", "condition_false": True}],
        "block": {"sequence": 7, "released": True}, "changed_s_ago": 60.0,
    }  # fmt: skip
    return well | more


def point(quality: str) -> dict[str, Any]:
    return facts()["point"] | {"quality": quality, "value": None}


def device(**more: Any) -> dict[str, Any]:
    return facts()["device"] | more


def test_a_chain_that_holds_has_nine_good_hops() -> None:
    """From the wire to the office's record, each told in every language without a field missing."""
    hops = walk(facts())
    assert [hop.name for hop in hops] == NAMES
    assert {hop.state for hop in hops} == {"ok"}
    assert hops[4].told("en") == "read by L01 (normal)"
    for lang in LANGUAGES:
        assert all(hop.told(lang) for hop in hops)


REFUSED = "l: tcp 10.1.3.41:502 unit 1: FC04 address 5 count 1: exception 2 (illegal data address)"
AWAY = {"uplink": UPLINK | {"state": "connecting", "last_error": "refused"}, "unsent": {"samples": {"blocks": 9}}}


@pytest.mark.parametrize(
    ("more", "hop", "said", "following"),
    [
        ({"device": device(state="silent"), "point": point("bad comm")}, "wire", "wire-silent", "sk probe modbus"),
        ({"device": device(state="silent"), "point": point("bad comm"), "driver": "bacnet-ip",
          "endpoint": "10.1.3.20:47808 device 1200"}, "wire", "wire-silent",
         "sk probe bacnet 10.1.3.20:47808 --device 1200"),
        ({"device": device(state="silent", endpoint="10.1.3.9:1883"), "point": point("bad comm"), "driver": "mqtt"},
         "wire", "wire-silent", "sk probe mqtt 10.1.3.9:1883"),
        ({"device": device(last_error=REFUSED), "point": point("bad refused")}, "wire", "wire-refused", "--address 5"),
        ({"point": point("bad mismatch")}, "wire", "wire-mismatch", "sk probe modbus"),
        ({"point": point("bad unmapped")}, "decode", "decode-unmapped", "--table input --address 5"),
        ({"point": point("bad out_of_range")}, "decode", "decode-range", "sk probe modbus"),
        ({"device": device(state="silent"), "frozen": True, "point": point("bad stale")}, "quality", "quality-frozen",
         "sk device show l"),
        ({"point": point("bad stale")}, "quality", "quality-stale", "sk device show l"),
        ({"point": point("bad device_flagged")}, "quality", "quality-flagged", "sk device show l"),
        ({"point": point("uncertain after_fault")}, "quality", "quality-other", "sk probe modbus"),
        ({"block": None, "status": {"uptime_s": 9, "outbox": {"state": "ok", "samples_dropped": 4}}}, "recorder",
         "recorder-dropped", "sk doctor"),
        ({"status": {"uptime_s": 9, "outbox": {"state": "disk full", "samples_dropped": 0}}}, "outbox", "outbox-fails",
         "df -h"),
        ({"sync": AWAY}, "broker", "broker-away", "sk sync status"),
        ({"block": {"sequence": 7, "released": False},
          "sync": {"uplink": UPLINK | {"receipt_age_s": 15.1}, "unsent": {"samples": {"blocks": 9}}}}, "office",
         "office-silent", "sk sync status"),
        ({"block": {"sequence": 7, "released": True},
          "sync": {"uplink": UPLINK | {"nobody_listens": True}, "unsent": {"samples": {"blocks": 9}}}}, "office",
         "office-silent", "sk sync status"),
        ({"block": {"sequence": 7, "released": False},
          "sync": {"uplink": UPLINK | {"state": "waiting", "receipt_age_s": None},
                   "unsent": {"samples": {"blocks": 9}}}}, "office", "office-never", "sk sync status"),
        ({"group": "", "address": {}, "point": point("bad comm"),
          "derived_from": [{"id": "l/a", "quality": "bad comm", "good": False}]}, "wire", "wire-sources", "sk why l/a"),
    ],
)  # fmt: skip
def test_the_first_broken_hop_is_named_with_the_next_command(
    more: dict[str, Any], hop: str, said: str, following: str
) -> None:
    """Each fault breaks its own hop, and its evidence can be told in every language."""
    hops = walk(facts(**more))
    first = broken(hops)
    assert first is not None
    assert (first.name, first.said) == (hop, said)
    assert following in first.next
    for lang in LANGUAGES:
        assert all(each.told(lang) for each in hops)


def test_the_raw_words_stand_beside_the_address() -> None:
    """So that a value without a meaning is seen as the device sent it; where nothing came, nothing is shown."""
    told = {each.name: each.told("en") for each in walk(facts(point=point("bad unmapped")))}
    assert told["decode"] == "the raw value at input 5 = 0003 has no meaning in profile sp-lift-1"
    assert walk(facts(raw=[]))[1].told("en") == "input 5 by profile sp-lift-1"


def test_the_request_stands_beside_its_scan_group() -> None:
    """What was asked of the device, when it was asked for this point; nothing where the driver does not tell."""
    requests = [{"function": "FC04", "first": 0, "count": 8, "points": ["floor"]}]
    told = walk(facts(device=device(asked={"requests": requests})))[0].told("en")
    assert "read with l@1s (FC04 address 0 count 8) every" in told
    assert "read with l@1s every" in walk(facts())[0].told("en")


def test_what_only_follows_or_is_still_under_way_breaks_nothing() -> None:
    """After a silent device decoding and quality are unknown; a gateway that has just started is given time."""
    hops = {each.name: each.state for each in walk(facts(device=device(state="silent"), point=point("bad comm")))}
    assert (hops["wire"], hops["decode"], hops["quality"], hops["rules"]) == ("broken", *["unknown"] * 3)
    young = facts(
        device=device(state="starting"),
        point=point("bad not_yet") | {"at": None},
        block=None,
        status={"uptime_s": 3, "outbox": {"state": "ok", "samples_dropped": 0}},
        sync={"uplink": UPLINK | {"state": "connecting"}, "unsent": {"samples": {"blocks": 0}}},
    )
    assert broken(walk(young)) is None
