"""What a site has of its own: the devices `gateway` and `link-<id>`, its calendar, its tables; what is behind what."""

import pytest

from sitekeeper.model.errors import ConfigError

LIFT = "- {id: lift-a1, profile: sp-lift-1, link: lifts, unit: 1}"
RULES = "rules:\n"
CALENDAR = """\
calendar: {holidays: [2026-10-01], polar: {dawn: "05:30"}}
schedules:
  busy-hours: {on: [{days: [mon, tue], from: "07:30", to: "20:00"}]}
  lights: {on: [{days: all, from: dusk - 15min, to: dawn}], except: [{date: 2026-12-24, from: "00:00", to: "24:00"}]}
"""
GATEWAY = {"audit.stands", "clock.trusted", "disk.free", "online", "rules.disabled", "writer.behind"}


def of_gateway(site) -> set[str]:
    return {point.name for point in site.points if point.device == "gateway"}


def test_every_site_has_the_gateway_and_a_device_for_each_link(site) -> None:
    """They are in the catalogue with one scan group each, and are no devices that a driver reads."""
    loaded = site()
    assert [(own.id, own.cls, own.link) for own in loaded.own] == [
        ("gateway", "gateway", ""),
        ("link-lifts", "link", "lifts"),
    ]
    assert {row.id for row in loaded.catalogue.devices} == {*loaded.devices, "gateway", "link-lifts"}
    assert (of_gateway(loaded), [*loaded.devices]) == (GATEWAY, ["lift-a1"])
    assert all(loaded.points[group.handles[0]].device == group.device for group in loaded.groups)


def test_a_link_tells_of_its_time_where_devices_share_it(site) -> None:
    """A device that has its link to itself takes time from nobody: no points and no rule for that."""

    def of_link(loaded) -> set[str]:
        return {point.name for point in loaded.points if point.device == "link-lifts"}

    bus = {"bus.busy", "bus.silent", "bus.stretch", "bus.urgent"}
    rules = "rules:\n  packs: [gateway]"
    alone = site("rules:\n  packs: [lift]", rules)
    both = f"devices:\n  {LIFT}\n  {LIFT.replace('a1', 'a2').replace('unit: 1', 'unit: 2')}\n{rules}"
    shared = site(f"devices:\n  {LIFT}\nrules:\n  packs: [lift]", both)
    assert of_link(shared) - of_link(alone) == bus
    assert not bus & of_link(alone)
    assert [plan.rule.id for plan in shared.rules.plans if plan.rule.id == "GW24"] == ["GW24"]
    assert not [plan for plan in alone.rules.plans if plan.rule.id == "GW24"]


def test_a_site_has_the_points_that_it_has_a_use_for(site) -> None:
    """The office's, the calendar's, those of each schedule and each table."""
    office = "office: {broker: mqtt://127.0.0.1}\n"
    assert of_gateway(site(RULES, office + RULES)) - GATEWAY == {"queue.age", "office.connected"}
    schedules = {"holiday", "schedule.busy-hours", "schedule.lights", "sun.fallback"}
    assert of_gateway(site(RULES, CALENDAR + RULES)) - GATEWAY == schedules
    tables = "tables: {credentials: {file: data/cards.csv, key: cred}}\n"
    of_table = {"tables.bad", "table.credentials.age", "table.credentials.rows"}
    assert of_gateway(site(RULES, tables + RULES)) - GATEWAY == of_table


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ("dusk - 15min", "dask", "invalid-value"),
        ('"05:30"', '"25:00"', "invalid-value"),
        ("2026-10-01", "2026-13-01", "invalid-value"),
        ("days: all, ", "", "days-or-date"),
        ("[mon, tue]", "[mon, tuesday]", "not-one-of"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused(site, good: str, bad: str, code: str) -> None:
    """An hour, a day or a date that is none is a fault where it stands, never a schedule that is never on."""
    with pytest.raises(ConfigError) as refused:
        site(RULES, CALENDAR.replace(good, bad) + RULES)
    assert {fault.code for fault in refused.value.faults} == {code}


@pytest.mark.parametrize("name", ["gateway", "link-lifts", "link-x"])
def test_names_of_own_devices_are_taken(site, name: str) -> None:
    """No device of the site may stand in the place of the gateway or of a link."""
    with pytest.raises(ConfigError) as refused:
        site(LIFT, LIFT.replace("lift-a1", name))
    assert [fault.code for fault in refused.value.faults] == ["reserved-device"]


def test_what_a_device_is_reached_through(site) -> None:
    """What is written counts, on whichever link; without, it is the controller on its link, or the link."""
    assert site().devices["lift-a1"].via == "lifts"
    assert site(LIFT, LIFT.replace("unit: 1", "unit: 1, via: lane-in")).devices["lift-a1"].via == "=lane-in"
    door = (
        "- {id: door-1, profile: mqtt-door, link: doors, with: {site: here, controller: 0, door: 1}}\n"
        "  - {id: lamp-1, profile: bacnet-lighting-output, link: bms, device: 0, address: 10.0.0.9, object: 1}"
    )
    links = (
        "  doors: {driver: mqtt, host: 127.0.0.1}\n"
        "  bms: {driver: bacnet-ip, instance: 9, address: 10.0.0.1/24}\ndevices:\n"
    )
    loaded = site("devices:\n  " + LIFT, links + "  " + door)
    assert {device.id: device.via for device in loaded.devices.values()} == {"door-1": "doors:0", "lamp-1": "bms:0"}


def test_one_lost_link_holds_back_what_its_devices_say_of_being_lost(site) -> None:
    """GW20 stands before the alarms of its link that only say that a device is not heard, and before no other."""
    two = "\n  ".join(
        [LIFT, LIFT.replace("a1", "a2").replace("unit: 1", "unit: 2"), LIFT.replace("a1", "b").replace("lifts", "b")]
    )
    sites = "devices:\n  " + LIFT + "\nrules:\n  packs: [lift]"
    links = "  b: {driver: modbus-tcp, host: 10.1.3.42}\ndevices:\n  " + two + "\nrules:\n  packs: [lift, gateway]"
    loaded = site(sites, links)
    plans = {(plan.rule.id, plan.device.id): plan for plan in loaded.rules.plans}
    assert set(plans["GW20", "link-lifts"].veils) == {("lift-a1", "L25"), ("lift-a2", "L25")}
    assert set(plans["GW20", "link-b"].veils) == {("lift-b", "L25")}


def test_fields_of_events_come_from_the_tables_that_the_site_has(site) -> None:
    """A door's reads are looked up in the credentials where there are any; without, nothing is added to an event."""
    door = "- {id: door-1, profile: mqtt-door, link: doors, with: {site: here, controller: 7, door: 1}}"
    links = "  doors: {driver: mqtt, host: 127.0.0.1}\ndevices:\n  " + door
    assert site("devices:\n  " + LIFT, links).lookups == {}
    tables = "tables: {credentials: {file: data/cards.csv, key: cred}}\ndevices:\n  "
    loaded = site("devices:\n  " + LIFT, links.replace("devices:\n  ", tables))
    (lookup,) = loaded.lookups["door-1/read.event"]
    assert (lookup.field, lookup.table, lookup.column) == ("status", "credentials", "status")
    assert loaded.tables["credentials"].path.parts[-2:] == ("data", "cards.csv")
    assert "status" not in {field.name for field in loaded.devices["door-1"].events["read.event"]}
