"""Derived points: recorded like measured ones; the shipped monitor profile and scenario S1 on top of them."""

import yaml

from edge.rules.derives import Derives, compile_derives
from edge.rules.engine import Engine
from edge.rules.places import Written
from edge.rules.types import Type
from sitekeeper.data import data_path
from sitekeeper.faults import Faults, Place
from sitekeeper.model.clock import SECOND
from sitekeeper.model.quality import GOOD, Reason, bad
from sitekeeper.model.sample import Sample
from tests.unit.edge.rules.worlds import THING, compiled, lift, points, samples, thing


def derives(expressions: dict[str, str], *, state=None, as_of=None, now: int = 0, kept=None):
    """Return (Derives, device) for points of the device `thing` that are derived by these expressions."""
    device, faults = thing(), Faults()
    written = {f"t1/{n}": (device.points[n], Written(t, Place("p.yaml", 3, 10))) for n, t in expressions.items()}
    compiled_ = compile_derives(written, {"t1": device.points}, faults)
    if kept is not None:
        kept.extend(faults.found)
    else:
        assert faults.found == []
    return Derives(compiled_, state=state or {}, as_of=as_of, now=now), device


def shown(device, out: list[Sample]) -> list[tuple[str, int, object, int]]:
    names = {point.handle: name for name, point in device.points.items()}
    return [(names[s.handle], s.at, s.value, s.q) for s in out]


def test_a_derived_sample_follows_the_moment_that_made_it():
    """All samples of a moment first, then one derived sample; nothing where the value stays."""
    made, device = derives({"a": "n > 1 and sensor"})
    out = made.feed([*samples(device, 5, n=2.0, sensor=True), *samples(device, 6, n=3.0)])
    assert shown(device, out) == [
        ("n", 5, 2.0, GOOD),
        ("sensor", 5, True, GOOD),
        ("a", 5, True, GOOD),
        ("n", 6, 3.0, GOOD),
    ]


def test_a_bad_input_makes_a_bad_derived_sample_with_the_same_reason():
    """Unknown has the quality of the input that is not good; a division by zero is out of range."""
    made, device = derives({"a": "n / n == 1"})
    assert shown(device, made.feed(samples(device, 4, n=0.0)))[1] == ("a", 4, None, bad(Reason.OUT_OF_RANGE))
    made, device = derives({"a": "n > 1"})
    out = made.feed(samples(device, 5, n=None))
    assert shown(device, out)[1] == ("a", 5, None, bad(Reason.COMM))
    assert shown(device, made.feed(samples(device, 6, n=2.0)))[1] == ("a", 6, True, GOOD)


def test_one_derived_point_may_read_another():
    """A chain settles within one moment, in the order of need and not of names."""
    made, device = derives({"a": "b", "b": "sensor"})
    assert [s[0] for s in shown(device, made.feed(samples(device, 5, sensor=True)))] == ["sensor", "b", "a"]


def test_a_circle_is_a_fault():
    """Points derived from each other are named, and left out."""
    found: list = []
    derives({"a": "b", "b": "a"}, kept=found)
    assert {f.code for f in found} == {"rule-derive-circle"}


def test_a_derived_value_must_fit_its_point():
    """An enumeration gets only members it has; the place is inside the expression."""
    found: list = []
    derives({"m": "'x' if a else 'w'"}, kept=found)
    assert [(f.code, f.line, f.column) for f in found] == [("rule-unknown-member", 3, 24)]


def test_a_timer_makes_a_sample_at_its_own_time_and_survives_a_restart():
    """`within` ends by itself; its known time goes on after a restart."""
    made, device = derives({"a": "within(changed(n), 10s)"})
    made.feed(samples(device, SECOND, n=1.0))
    assert shown(device, made.feed(samples(device, 2 * SECOND, n=2.0)))[-1] == ("a", 2 * SECOND, True, GOOD)
    assert made.next_deadline() == 12 * SECOND
    saved = made.dirty()
    assert shown(device, made.advance(20 * SECOND)) == [("a", 12 * SECOND, False, GOOD)]

    again, _ = derives({"a": "within(changed(n), 10s)"}, state=saved, as_of=6 * SECOND, now=0)
    assert shown(device, again.feed(samples(device, 100, n=2.0)))[-1] == ("a", 100, True, GOOD)
    assert shown(device, again.advance(20 * SECOND)) == [("a", 100 + 6 * SECOND, False, GOOD)]


LMON = yaml.safe_load(data_path("profiles", "lift-lmon.yaml").read_text(encoding="utf-8"))


def lmon(**params: str):
    """Return (Derives, Engine, device) of a lift behind the monitor, from the shipped profile's own text."""
    device = lift("motion", **{**LMON["rules"]["L01"], **params})
    own = {
        name: Type("bool" if p["own"]["type"] == "bool" else "number", "")
        for name, p in LMON["points"].items()
        if "own" in p
    }
    extra = points(own, "lift-1")
    base = len(device.points)
    for name, point in extra.items():
        if name not in device.points:
            device.points[name] = type(point)(
                **{f: getattr(point, f) for f in point.__slots__} | {"handle": base + point.handle}
            )  # type: ignore[index]
    faults = Faults()
    texts = {n: p["derive"] for n, p in LMON["points"].items() if "derive" in p}
    written = {f"lift-1/{n}": (device.points[n], Written(t, Place("lmon.yaml", 1, 1))) for n, t in texts.items()}
    derivations = compile_derives(written, {"lift-1": device.points}, faults)
    assert faults.found == []
    pack = data_path("rules", "lift.yaml").read_text(encoding="utf-8")
    engine = Engine(compiled(pack, device), state={}, as_of=None, now=0)
    return Derives(derivations, state={}, as_of=None, now=0), engine, device


def scenario_s1(**params: str) -> list[tuple[str, str, float]]:
    """Play scenario S1 through the profile's derived points and the shipped rules, one poll a second."""
    made, engine, device = lmon(**params)
    words: dict[int, tuple[int, int, int]] = {
        0: (0, 0x0400, 0x0700),
        10: (0, 0x0100, 0x0700),
        26: (0x22, 0x0100, 0x0700),
    }
    words |= dict.fromkeys((16, 20, 24), (0, 4352, 1792)) | dict.fromkeys((17, 21, 25), (0, 256, 1792))
    words |= {41: (0x20, 0x0100, 0x0700), 18 * 60: (0, 0x0C00, 0x0700)}
    out: list[tuple[str, str, float]] = []
    for at, (faults, state, floor) in sorted(words.items()):
        values = {
            "fault_entrapment": bool(faults & 2),
            "stop_outside_zone": bool(faults & 0x20),
            "power": "failed" if faults & 0x800 else "mains",
            "going_up": bool(state & 0x100),
            "going_down": bool(state & 0x200),
            "door_zone": bool(state & 0x400),
            "door_closed": not state & 0x800,
            "passenger": bool(state & 0x1000),
            "service_mode": "inspection" if state & 0x2000 else "normal",
            "passenger_alarm": bool(state & 0x4000),
            "floor_code": float(floor >> 8),
            "online": True,
        }
        for second in range(int(engine.now / SECOND) + 1, at):
            passed = made.advance(second * SECOND)
            out += [(v.rule, v.kind, v.at / SECOND) for v in engine.feed(passed, second * SECOND)]
        fed = made.feed(samples(device, at * SECOND or 1, **values))
        out += [(v.rule, v.kind, round(v.at / SECOND, 3)) for v in engine.feed(fed)]
    return out + [(v.rule, v.kind, v.at / SECOND) for v in engine.advance(1200 * SECOND)]


def test_scenario_s1_raises_l01_at_41_s_and_nothing_else():
    """Fifteen seconds after bit 5, kept when bit 1 drops, no L04, cleared ten seconds after the landing."""
    assert scenario_s1() == [("L01", "raise", 41.0), ("L01", "clear", 1090.0)]


def test_scenario_s1_with_an_express_zone_raises_at_81_s():
    """The allowance of 40 s is added to the fifteen."""
    assert scenario_s1(express_allowance="40s") == [("L01", "raise", 81.0), ("L01", "clear", 1090.0)]


def test_the_class_for_tests_is_what_these_tests_think():
    """`thing` lacks the point `gone` and has all others of its class."""
    assert set(thing().points) == set(THING) - {"gone"}
