"""What the pack of lighting does together: who holds back whose alarms, and which claim wins."""

from edge.rules import packs
from edge.rules.compiling import compile_rules
from edge.rules.rule import DeviceSpec
from sitekeeper.faults import Faults, Place
from tests.unit.edge.rules.worlds import points

LAMPS = ("lamp-1", "lamp-2")


def plans(*, tags=(), without=()):
    classes, writables = packs.shipped_classes(), packs.shipped_writables()
    types = {name: type_ for name, type_ in classes["lighting"].items() if name not in without}
    devices = [
        DeviceSpec(
            id=name, cls="lighting", points=points(types, name, first=100 * place), zone="z1", link="l1", via="l1:7",
            tags=tags, writables={point: w for point, w in writables["lighting"].items() if point not in without},
        )
        for place, name in enumerate(LAMPS)
    ]  # fmt: skip
    faults = Faults()
    texts = packs.load([("lighting", Place("test"))], faults)
    rules = compile_rules(texts, classes, devices, {}, faults, events=packs.shipped_events())
    assert faults.found == []
    return rules.plans


def test_a_silent_gateway_holds_back_what_follows_from_its_silence():
    """One alarm on the first luminaire; of each luminaire only what cannot be known, not what was known before."""
    [gateway] = [plan for plan in plans() if plan.rule.id == "G06"]
    assert {lamp for lamp, _ in gateway.veils} == set(LAMPS)
    assert {rule for lamp, rule in gateway.veils if lamp == "lamp-2"} == {"G01", "G02", "G05", "G19"}


def test_people_before_light_before_schedule_before_off():
    """The priorities of the control rules are in this order, and each writes to its own device only."""
    found = {
        plan.rule.id: {(write.value, write.priority) for write in plan.writes}
        for plan in plans(tags=("trimmed", "presence"), without=("on_command",))
        if plan.writes
    }
    assert found == {"LIGHT-DEFAULT": {(0, 16)}, "LIGHT-TRIM": {(100, 12)}, "LIGHT-PRESENCE": {(100, 10)}}
    assert all({write.device for write in plan.writes} <= {plan.device.id} for plan in plans(tags=("trimmed",)))


def test_a_circuit_without_levels_is_switched_by_the_rules_for_circuits():
    """Where the level follows from the contactor and cannot be written, the contactor is."""
    found = {plan.rule.id for plan in plans(tags=("trimmed",), without=("command",)) if plan.writes}
    assert {rule.split("-")[0] for rule in found} == {"CIRCUIT"}
