"""A good site folder becomes one consistent `Site`."""

import socket
from collections import Counter
from pathlib import Path

import pytest

import edge.settings.rules as settings_rules
from drivers.modbus.plan import Limits, Span, plan
from edge.settings import load
from edge.settings.limits import LIMITS
from sitekeeper.catalogue import catalogue_hash, decode, encode
from sitekeeper.data import data_path
from sitekeeper.model.clock import DAY, MS, SECOND
from sitekeeper.model.errors import ConfigError

ONE_LIFT = data_path("sites", "one-lift")


def codes(error: pytest.ExceptionInfo[ConfigError]) -> list[str]:
    return [fault.code for fault in error.value.faults]


def test_the_demo_site_loads() -> None:
    """The shipped site has two lifts on links of their own, and both are read with one scan group."""
    site = load(ONE_LIFT, environment={})
    assert (site.id, site.timezone, site.position) == ("one-lift", "Asia/Hong_Kong", (22.3, 114.17))
    assert [(d.id, d.profile, d.link, d.cls) for d in site.devices.values()] == [
        ("lift-a1", "sp-lift-1", "lift-a1", "lift"),
        ("lift-a2", "lift-lmon", "lift-a2", "lift"),
    ]
    own = [device.group for device in site.own]
    assert [group.id for group in site.groups if group.id not in own] == ["lift-a1@1s", "lift-a2@1s"]
    assert own == ["gateway@10s", "link-lift-a1@10s", "link-lift-a2@10s"]
    assert site.office is not None
    assert (site.office.host, site.office.port, site.office.tls) == ("127.0.0.1", 1883, False)
    assert site.outbox.path == ONE_LIFT / "state" / "outbox.db"
    assert (site.outbox.history, site.outbox.commit) == (14 * DAY, 250 * MS)


def test_the_example_estate_loads() -> None:
    """The shipped estate has every family of devices, named in three languages, and a name for its ways out."""
    site = load(data_path("sites", "estate"), environment={})
    count = Counter((device.cls, device.profile) for device in site.devices.values())
    assert count == {
        ("lift", "sp-lift-1"): 1,
        ("lift", "bacnet-lift"): 1,
        ("lighting", "bacnet-lighting-output"): 24,
        ("access", "mqtt-door"): 6,
        ("parking", "sp-barrier-1"): 2,
        ("fire", "sp-io-16-fire"): 1,
    }
    assert all(device.names.keys() == {"en", "zh-Hant", "zh-Hans"} for device in site.devices.values())
    tagged = {tag: [d.id for d in site.devices.values() if tag in d.tags] for tag in ("escape", "perimeter", "exit")}
    assert tagged["escape"] == [f"lamp-{n}" for n in range(17, 25)]
    assert (tagged["perimeter"], tagged["exit"]) == (["door-lobby"], ["lane-out"])
    assert {device.cls for device in map(site.devices.__getitem__, site.groups_by_name["ways-out"])} == {
        "access",
        "parking",
    }


def test_handles_are_places_in_the_catalogue() -> None:
    """A point's handle is its index in points and catalogue, and scan groups and drivers refer to the same handles."""
    site = load(ONE_LIFT, environment={})
    assert [point.handle for point in site.points] == list(range(len(site.points)))
    assert [point.id for point in site.points] == [row.id for row in site.catalogue.points]
    for device in site.devices.values():
        for group in device.read.groups:
            scan = next(each for each in site.groups if each.id == group.id)
            assert tuple(read.handle for read in group.points) == scan.handles
            assert [f"{device.id}/{read.name}" for read in group.points] == [site.points[h].id for h in scan.handles]


def test_every_device_is_online_or_not() -> None:
    """Each device has the built-in point `online`, which no scan reads; neither does one read a derived point."""
    site = load(ONE_LIFT, environment={})
    unread = {point.id for point in site.points if not point.group}
    derived = {derivation.point.id for derivation in site.derivations}
    devices = [*site.devices, *(own.id for own in site.own)]
    assert unread == derived | {f"{device}/online" for device in devices}
    assert "lift-a2/car_status" in derived


def test_the_catalogue_travels() -> None:
    """The catalogue can be encoded, and loading the same folder twice gives the same bytes."""
    first, second = (encode(load(ONE_LIFT, environment={}).catalogue) for _ in range(2))
    assert catalogue_hash(first) == catalogue_hash(second)
    assert [rule.id for rule in decode(first).rules] == sorted(rule.id for rule in decode(first).rules)


def test_each_profile_costs_one_request_a_second() -> None:
    """Both lift profiles are read with a single request, LMON's of exactly its 19 words."""
    asked = []
    for device in load(ONE_LIFT, environment={}).devices.values():
        for group in device.read.groups:
            limits = Limits(max_registers=125, max_bits=2000, gaps=device.read.options.gaps)
            reads = [read.address for read in group.points]
            spans = [Span(at.table, at.address, at.size, index) for index, at in enumerate(reads)]
            asked += [(device.id, r.table, r.address, r.count) for r in plan(spans, limits)]
    assert asked == [("lift-a1", "input", 0, 32), ("lift-a2", "holding", 16, 19)]


def test_rules_are_compiled_with_the_profiles_parameters() -> None:
    """L01 waits 30 s on a lift that tells of its stop and 15 s on an LMON, which tells of it later."""
    site = load(ONE_LIFT, environment={})
    waits = {p.device.id: p.parameters["stuck_for"].value for p in site.rules.plans if p.rule.id == "L01"}
    assert waits == {"lift-a1": 30 * SECOND, "lift-a2": 15 * SECOND}


def test_loading_opens_no_socket(monkeypatch) -> None:
    """A site loads on a machine without any network."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert load(ONE_LIFT, environment={}).devices


def test_a_range_stands_for_many_devices(site) -> None:
    """`for:` makes one device for each number; a text that is the number alone becomes a number."""
    entry = (
        '- {for: {n: "1..3, 12"}, id: "lift-{n:02}", profile: sp-lift-1, link: lifts, unit: "{n}",'
        ' name: {en: "Lift {n}"}}'
    )
    loaded = site("- {id: lift-a1, profile: sp-lift-1, link: lifts, unit: 1}", entry)
    assert [(d.id, d.read.options.unit, d.names["en"]) for d in loaded.devices.values()] == [
        ("lift-01", 1, "Lift 1"),
        ("lift-02", 2, "Lift 2"),
        ("lift-03", 3, "Lift 3"),
        ("lift-12", 12, "Lift 12"),
    ]


def test_a_range_is_bounded(site) -> None:
    """A product of ranges beyond the limit of devices is refused by that limit before it is made."""
    with pytest.raises(ConfigError) as error:
        site("- {id: lift-a1,", '- {for: {n: 1..5000, m: 1..5000}, id: "lift-{n}-{m}",')
    assert codes(error) == ["limit"]
    assert "devices" in error.value.faults[0].message
    assert LIMITS.devices == 5000


def test_a_device_may_change_its_profiles_points(site) -> None:
    """A change on one device applies there, key by key, and moves the point to another scan group."""
    loaded = site("unit: 1}", "unit: 1, points: {speed: {scan: 500ms, deadband: 0.05, scale: 0.1}}}")
    speed = next(point for point in loaded.points if point.name == "speed")
    assert (speed.group, speed.deadband, speed.unit) == ("lift-a1@500ms", 0.05, "m/s")
    fast = next(group for group in loaded.devices["lift-a1"].read.groups if group.id == "lift-a1@500ms")
    assert [(read.name, read.address.scale, read.address.address) for read in fast.points] == [("speed", 0.1, 10)]
    assert speed.stale_after == 5 * SECOND


def test_a_fault_in_a_change_stands_at_the_device(site) -> None:
    """What a device changes wrongly is blamed on the device, not on the profile."""
    with pytest.raises(ConfigError) as error:
        site("unit: 1}", "unit: 1, points: {speed: {unit: km/h, scale: fast}}}")
    assert {(f.file, f.code) for f in error.value.faults} == {("site.yaml", "wrong-unit"), ("site.yaml", "wrong-type")}


def test_parameters_of_address_expressions_come_from_the_device(site) -> None:
    """Two lifts of one profile lie at different addresses of one unit by their `with:`."""
    profile = (data_path("profiles", "sp-lift-1.yaml")).read_text().replace("profile: sp-lift-1", "profile: own")
    profile = profile.replace("floor: {input: 5,", "floor: {input: 100*car + 5,")
    loaded = site(
        "- {id: lift-a1, profile: sp-lift-1, link: lifts, unit: 1}",
        "- {id: lift-a1, profile: own, link: lifts, unit: 1, with: {car: 3}}",
        profiles__own=profile,
    )
    reads = {read.name: read.address for group in loaded.devices["lift-a1"].read.groups for read in group.points}
    assert (reads["floor"].address, reads["door"].address) == (305, 6)


def test_devices_and_rules_may_lie_in_files_of_their_own(site) -> None:
    """`devices/*.yaml` and `rules/*.yaml` are read like the site file."""
    loaded = site(
        devices__b="devices:\n  - {id: lift-b1, profile: sp-lift-1, link: lifts, unit: 2}\n",
        rules__own="- {id: X01, class: lift, name: {en: Warm, zh-Hant: 熱, zh-Hans: 热}, priority: P3,\n"
        "   when: machine_room_temperature > 40}\n",
    )
    assert list(loaded.devices) == ["lift-a1", "lift-b1"]
    assert [plan.device.id for plan in loaded.rules.plans if plan.rule.id == "X01"] == ["lift-a1", "lift-b1"]
    assert "X01" in [rule.id for rule in loaded.catalogue.rules]


def test_parameters_of_packs_that_were_not_chosen_are_nobodys_fault(site) -> None:
    """A profile may set L01's parameters although this site does without the lift rules."""
    loaded = site("packs: [lift]", "packs: []")
    assert loaded.rules.rules == ()


def test_the_revision_follows_the_content(site, tmp_path: Path) -> None:
    """The same content has the same revision; a changed file another; secrets do not count."""
    first = site().revision
    assert site().revision == first
    assert site(secrets="a: b\n").revision == first
    assert site("unit: 1}", "unit: 2}").revision != first


def test_a_profile_nobody_uses_is_checked_all_the_same(site) -> None:
    """Faults of an own profile are found before the first device uses it, the driver's keys among them."""
    profile = data_path("profiles", "sp-lift-1.yaml").read_text().replace("profile: sp-lift-1", "profile: own")
    with pytest.raises(ConfigError) as error:
        site(profiles__own=profile.replace("{input: 5, type: int16}", "{input: 5, typ: int16}"))
    assert [(f.file, f.code, f.hint) for f in error.value.faults] == [
        ("profiles/own.yaml", "unknown-key", 'did you mean "type"?')
    ]


def test_an_own_profile_cannot_take_a_shipped_name(site) -> None:
    """A site's own profile never replaces a shipped one in silence."""
    with pytest.raises(ConfigError) as error:
        site(**{"profiles__sp-lift-1": data_path("profiles", "sp-lift-1.yaml").read_text()})
    assert codes(error) == ["profile-shipped"]


def test_what_is_writable_is_up_to_the_class(site) -> None:
    """A device cannot be given what the class decides: `writable` is no key of a profile's point."""
    with pytest.raises(ConfigError) as error:
        site("unit: 1}", "unit: 1, points: {floor: {writable: {by: [operator]}}}}")
    assert codes(error) == ["unknown-key"]


LANE = "- {id: lane-in, profile: sp-barrier-1, link: lifts, unit: 1}"
LIFT = "- {id: lift-a1, profile: sp-lift-1, link: lifts, unit: 1}"


def test_what_a_device_takes_is_what_class_and_driver_allow(site) -> None:
    """The class's word on each point for which the profile says how it is written, and on no other."""
    taken = site(LIFT, LANE).devices["lane-in"].writables
    assert set(taken) == {"cmd.open", "cmd.stop", "cmd.close", "hold_open"}
    assert (taken["cmd.close"].interlock, taken["hold_open"].rest) == ("close_clear", False)
    assert site().devices["lift-a1"].writables == {}


def test_a_device_may_do_without_a_write_of_its_profile(site) -> None:
    """A device that takes a write away is not written there; what its class allows is no duty."""
    loaded = site(LIFT, LANE.replace("unit: 1}", "unit: 1, points: {hold_open: {write: null}}}"))
    assert "hold_open" not in loaded.devices["lane-in"].writables


LAMPS = """\
  - for: {n: 1..24}
    id: lamp-{n:02}
    profile: bacnet-lighting-output
    link: bms
    device: 1201
    address: 10.1.3.20
    object: "{n}"
    zone: basement-1
    tags: [escape, "row-{n}"]
"""


def test_two_dozen_lamps_are_one_entry(site) -> None:
    """24 lamps with zone and tags from one entry; the tag narrows what each of them takes."""
    loaded = site(
        "links:\n",
        "links:\n  bms: {driver: bacnet-ip, address: 10.1.3.10/24, instance: 990001}\n",
        devices__lamps="devices:\n" + LAMPS,
    )
    lamps = [device for device in loaded.devices.values() if device.cls == "lighting"]
    assert [lamp.id for lamp in lamps] == [f"lamp-{n:02}" for n in range(1, 25)]
    assert [lamp.read.options.object for lamp in lamps] == list(range(1, 25))
    assert {lamp.zone for lamp in lamps} == {"basement-1"}
    assert lamps[6].tags == ("escape", "row-7")
    assert [lamp.writables["command"].range for lamp in lamps] == [[100, 100]] * 24


DOOR = """\
links:
  doors: {driver: mqtt, host: 10.1.3.10}
devices:
  - {id: door-1, profile: mqtt-door, link: doors, zone: lobby, tags: [perimeter],
     with: {site: here, controller: "4054", door: 1}}
"""


def test_a_device_tells_the_events_of_its_class(site, tmp_path: Path) -> None:
    """What the profile maps is bound by the driver, with the fields that the class declares."""
    (tmp_path / "site.yaml").write_text("site: {id: here, timezone: UTC}\n" + DOOR)
    door = load(tmp_path, environment={}).devices["door-1"]
    assert set(door.events) == {"read.event", "rex.event", "door.event", "alarm.event"}
    read = {field.name: field for field in door.events["read.event"]}
    assert (read["granted"].type, read["dir"].members, read["cred"].personal) == ("bool", ("in", "out"), "card")
    assert [event.address.event.topic for event in door.read.events] == ["sp/here/access/4054/event"] * 4
    assert set(door.writables) == {"mode", "unlock.pulse"}


def test_rules_see_zone_tags_link_events_and_writes(site, tmp_path: Path, monkeypatch) -> None:
    """What rules choose devices by, and what they may write, reaches them; the groups too."""
    seen: dict[str, object] = {}

    def noted(texts, types, devices, overrides, faults, *, events, groups):
        seen.update(events=events, groups=groups, **{device.id: device for device in devices})
        return compile_rules(texts, types, devices, overrides, faults, events=events, groups=groups)

    compile_rules = settings_rules.compile_rules
    monkeypatch.setattr(settings_rules, "compile_rules", noted)
    (tmp_path / "site.yaml").write_text("site: {id: here, timezone: UTC}\n" + DOOR + "groups: {ways-out: [door-1]}\n")
    loaded = load(tmp_path, environment={})
    spec = seen["door-1"]
    assert (spec.zone, spec.tags, spec.link) == ("lobby", ("perimeter",), "doors")
    assert spec.events["read.event"].keys() == {"granted", "reason", "dir", "cred", "duress", "status"}
    assert spec.events["door.event"]["state"].members == ("open", "closed")
    assert spec.writables == loaded.devices["door-1"].writables
    assert seen["groups"] == loaded.groups_by_name == {"ways-out": ("door-1",)}
    assert seen["events"]["access"] == spec.events
