"""What is done to the estate: each fault a few lines of life, and where in the month they come.

Faults begin half an hour apart, so that each is alone with its alarm. The few that raise more than one say that they
are storms. What is too short or too little to be an alarm is here too: it must raise none.
"""

from collections.abc import Iterator, Sequence
from random import Random

from tests.month import faults_doors as doors
from tests.month import faults_lifts as lifts
from tests.month.machines import Door, Estate, Fault, Lane, Lift
from tests.month.world import DAY, MINUTE, SECOND, Life, Machine

SLOT = 30 * MINUTE


# --- lanes


def boom_stuck(estate: Estate, chance: Random) -> Life:
    lane = chance.choice(estate.lanes)
    yield from lane.taken()
    lane.set(lane__state="opening", limit__closed=False, boom__position=20)
    fact = estate.world.begin("boom opening", lane.name)
    yield chance.choice((4 * SECOND, 25 * SECOND, 2 * MINUTE))
    estate.world.end(fact)
    lane.set(lane__state="open", limit__open=True, boom__position=100)
    yield 3 * SECOND
    yield from lane.lower_boom()
    lane.busy = False


def boom_off(estate: Estate, chance: Random) -> Life:
    lane = chance.choice(estate.lanes)
    yield from lane.taken()
    lane.set(boom__attached=False)
    fact = estate.world.begin("boom off", lane.name)
    yield 4 * MINUTE
    lane.set(boom__attached=True)
    estate.world.end(fact)
    yield 5 * SECOND
    yield from lane.raise_boom()
    yield from lane.lower_boom()
    lane.busy = False


def unserved(estate: Estate, chance: Random) -> Life:
    lane = chance.choice(estate.lanes)
    yield from lane.taken()
    lane.set(input__arrival=True)
    fact = estate.world.begin("waits at the boom", lane.name)
    yield chance.choice((60 * SECOND, 4 * MINUTE))
    lane.set(input__arrival=False)
    estate.world.end(fact)
    yield 5 * SECOND
    lane.busy = False


def cabinet(estate: Estate, chance: Random) -> Life:
    lane = chance.choice(estate.lanes)
    lane.set(cabinet__open=True)
    fact = estate.world.begin("cabinet open", lane.name)
    yield 3 * MINUTE
    lane.set(cabinet__open=False)
    estate.world.end(fact)


def obstacles(estate: Estate, chance: Random) -> Life:
    lane = chance.choice(estate.lanes)
    for count in range(chance.choice((2, 3))):
        lane.set(obstacle=True)
        if count == 2:
            estate.world.end(estate.world.begin("third reversal", lane.name))
        yield 3 * SECOND
        lane.set(obstacle=False)
        yield 20 * SECOND


def loop_chatters(estate: Estate, chance: Random) -> Life:
    """More than ten edges in a minute, on a loop of a lane that nobody uses."""
    lane = chance.choice(estate.lanes)
    yield from lane.taken()
    yield MINUTE
    fact = estate.world.begin("loop chatters", lane.name)
    for _ in range(9):
        for state in (True, False):
            lane.set(input__exit=state)
            yield 1100_000
    estate.world.end(fact)
    yield 2 * MINUTE
    lane.busy = False


def bounces(estate: Estate, chance: Random) -> Life:
    """A contact that bounces: a loop, a smoke zone's fault line, a lamp's bit, a bit of a lift. Nothing."""
    machines: tuple[tuple[Machine, str], ...] = (
        (chance.choice(estate.lanes), "input__exit"), (chance.choice(estate.lamps), "lamp__fail"),
        (estate.contacts["panel"], "contact__fault"), (estate.lifts[0], "battery_low"),
    )  # fmt: skip
    machine, name = chance.choice(machines)
    for _ in range(chance.randrange(2, 5)):
        machine.set(**{name: True})
        yield chance.randrange(200_000, 2 * SECOND)
        machine.set(**{name: False})
        yield chance.randrange(9 * SECOND, 12 * SECOND)


# --- lights, panel, gas, water, links


def lamp_fails(estate: Estate, chance: Random) -> Life:
    """One at a time in its half of the estate: it is mended before the next one fails there."""
    lamp = chance.choice(estate.lamps)
    kind = chance.choice(("lamp__fail", "lamp__fail", "gear__fail"))
    lamp.set(**{kind: True})
    fact = estate.world.begin("lamp failed", lamp.name)
    yield 20 * MINUTE
    lamp.set(**{kind: False})
    estate.world.end(fact)


def lamps_fail(estate: Estate, chance: Random) -> Life:
    """Three of one zone at once."""
    lamps = chance.sample(estate.lamps[:12], 3)
    for lamp in lamps:
        lamp.set(lamp__fail=True)
    fact = estate.world.begin("three lamps failed", "zone-1")
    estate.world.storm(40 * MINUTE)
    yield 15 * MINUTE
    for lamp in lamps:
        lamp.set(lamp__fail=False)
    estate.world.end(fact)


def battery(estate: Estate, chance: Random) -> Life:
    lamp = chance.choice(estate.emergency)
    lamp.set(status_battery_failed=True)
    fact = estate.world.begin("battery failed", lamp.name)
    yield 10 * MINUTE
    lamp.set(status_battery_failed=False)
    estate.world.end(fact)


def quiet(device: str, what: str) -> Fault:
    """One machine answers nothing for five minutes."""

    def life(estate: Estate, chance: Random) -> Life:
        machine = next(machine for machine in estate.machines() if machine.name == device)
        if isinstance(machine, Lift | Lane):
            yield from machine.taken()
        fact = estate.world.begin(what, device)
        yield from machine.silent(5 * MINUTE)
        estate.world.end(fact)
        if isinstance(machine, Lift | Lane):
            machine.busy = False

    return life


def contact(device: str, what: str, *lasts: int, storm: bool = False, **states: bool) -> Fault:
    """Contacts close for as long as one of `lasts`."""

    def life(estate: Estate, chance: Random) -> Life:
        machine = estate.contacts[device]
        machine.set(**states)
        fact = estate.world.begin(what, device)
        if storm:
            estate.world.storm(45 * MINUTE)
        yield chance.choice(lasts)
        machine.set(**dict.fromkeys(states, False))
        estate.world.end(fact)

    return life


def fire(estate: Estate, chance: Random) -> Life:
    """A smoke detector, and then a call point; everybody leaves by doors that the panel has freed."""
    world, panel = estate.world, estate.contacts["panel"]
    world.storm(55 * MINUTE)
    panel.set(contact__zone3=True)
    smoke = world.begin("one detector", panel.name)
    yield chance.randrange(20 * SECOND, 60 * SECOND)
    world.end(smoke)
    panel.set(contact__callpoint=True, contact__alarm=True)
    fact = world.begin("fire", panel.name)
    yield 4 * SECOND
    for door in estate.doors:
        world.spawn(_evacuated(door))
    yield 12 * MINUTE
    panel.set(contact__callpoint=False, contact__alarm=False, contact__zone3=False)
    world.end(fact)


def _evacuated(door: Door) -> Life:
    """Freed, and open again and again though nobody has a card."""
    while door.busy:
        yield SECOND
    door.busy = True
    door.set(mode="free", lock__state="unlocked")
    for _ in range(6):
        door.swing(open_=True)
        yield door.random.randrange(20 * SECOND, 50 * SECOND)
        door.swing(open_=False)
        yield door.random.randrange(2 * SECOND, 6 * SECOND)
    yield 25 * MINUTE  # until somebody has said that the area is normal
    door.set(mode="controlled", lock__state="locked")
    yield 15 * SECOND
    door.busy = False


def gas(estate: Estate, chance: Random) -> Life:
    world, detector = estate.world, estate.contacts["gas-1"]
    world.storm(40 * MINUTE)
    detector.set(contact__al1=True)
    low = world.begin("gas low", detector.name)
    yield chance.randrange(20 * SECOND, 60 * SECOND)
    detector.set(contact__al2=True)
    world.end(low)
    high = world.begin("gas high", detector.name)
    yield 8 * MINUTE
    detector.set(contact__al1=False, contact__al2=False)
    world.end(high)


def cut(estate: Estate, chance: Random) -> Life:
    """A whole link is lost; whoever was on the way arrives unseen."""
    world = estate.world
    link = chance.choice(("lifts", "doors", "lanes", "lights", "safety"))
    for lift in estate.lifts if link == "lifts" else ():
        yield from lift.taken()
    world.storm(40 * MINUTE)
    fact = world.begin("link lost", f"link-{link}")
    yield from estate.cut(link, chance.choice((3 * SECOND, 40 * SECOND, 6 * MINUTE, 15 * MINUTE)))
    world.end(fact)
    for lift in estate.lifts if link == "lifts" else ():
        lift.busy = False


A_MONTH: tuple[tuple[Fault, int], ...] = (
    *lifts.A_MONTH, *doors.A_MONTH,
    (boom_stuck, 8), (boom_off, 2), (unserved, 4), (cabinet, 2), (obstacles, 3), (loop_chatters, 8), (bounces, 190),
    (lamp_fails, 60), (lamps_fail, 1), (battery, 1),
    (quiet("lift-2", "lift silent"), 2), (quiet("lane-in", "lane silent"), 1), (quiet("lamp-07", "lamp silent"), 1),
    (quiet("panel", "panel silent"), 1), (quiet("gas-1", "gas detector silent"), 1),
    (contact("panel", "panel fault", 3 * SECOND, 4 * MINUTE, contact__fault=True), 4),
    (contact("panel", "one detector", 70 * SECOND, 2 * MINUTE, contact__zone5=True), 2),
    (contact("panel", "one detector", 5 * MINUTE, contact__zone2=True), 1), (fire, 1), (gas, 1),
    (contact("gas-1", "gas low", 3 * SECOND, 2 * MINUTE, contact__al1=True), 2),
    (contact("gas-1", "gas detector fault", 3 * MINUTE, contact__fault=True), 1),
    (contact("leak-1", "leak near switches", 6 * SECOND, 5 * MINUTE, contact__leak=True), 2),
    (contact("leak-2", "leak", 5 * MINUTE, contact__leak=True), 1),
    (contact("leak-2", "leak cable broken", 4 * MINUTE, contact__cable=True), 1), (cut, 12),
)  # fmt: skip
"""Every fault, and how often it comes in thirty days."""


def all_of(days: int) -> list[Fault]:
    """Return the faults of so many days; each comes at least once."""
    return [fault for fault, count in A_MONTH for _ in range(max(1, round(count * days / 30)))]


def plan(days: int, faults: Sequence[Fault], chance: Random) -> Iterator[tuple[int, Fault]]:
    """Yield when each fault begins: never two in the same half hour, none in the first hour or the last two."""
    slots = range(2, days * DAY // SLOT - 4)
    for slot, fault in zip(sorted(chance.sample(slots, len(faults))), chance.sample(faults, len(faults)), strict=True):
        yield slot * SLOT + chance.randrange(5 * MINUTE), fault


def happen(estate: Estate, days: int, faults: Sequence[Fault]) -> None:
    """Let them come."""
    chance = estate.world.random("faults")
    for at, fault in plan(days, faults, chance):
        estate.world.spawn(fault(estate, chance), after=at - estate.world.now)
