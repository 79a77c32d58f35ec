"""What is done to lifts and to those in them."""

from random import Random

from tests.month.machines import Estate, Fault, Lift
from tests.month.world import MINUTE, SECOND, Life


def _halted(lift: Lift, *, person: bool) -> Life:
    """Stop between two floors."""
    yield from lift.taken()
    if person:
        yield from lift.board()
    yield from lift.depart(1 if lift.values["floor"] == 1 else -1)
    yield 3 * SECOND
    lift.set(car_status="stopped", speed=0.0)


def _freed(lift: Lift) -> Life:
    """Be brought level, and let everybody out."""
    lift.set(door_zone=True, direction="none")
    yield 2 * SECOND
    yield from lift.leave()
    lift.busy = False


def entrapment(estate: Estate, chance: Random, *, button: bool = False) -> Life:
    lift = chance.choice(estate.lifts)
    yield from _halted(lift, person=True)
    stuck = estate.world.begin("person between floors", lift.name)
    if button:
        estate.world.storm(40 * MINUTE)
        yield chance.randrange(8 * SECOND, 20 * SECOND)
        pressed = estate.world.begin("button in a car that stands", lift.name)
        lift.set(passenger_alarm=True)
        yield 40 * SECOND
        lift.set(passenger_alarm=False)
        estate.world.end(pressed)
    yield chance.randrange(8 * MINUTE, 20 * MINUTE)
    estate.world.end(stuck)
    yield from _freed(lift)


def entrapment_with_button(estate: Estate, chance: Random) -> Life:
    yield from entrapment(estate, chance, button=True)


def entrapment_in_the_dark(estate: Estate, chance: Random) -> Life:
    """The supply fails with somebody on the way: nobody waits for half a minute then."""
    lift = chance.choice(estate.lifts)
    yield from lift.taken()
    yield from lift.board()
    yield from lift.depart(1 if lift.values["floor"] == 1 else -1)
    yield 3 * SECOND
    estate.world.storm(40 * MINUTE)
    lift.set(car_status="stopped", speed=0.0, power="failed", power_fail=True, service_mode="emergency_power")
    facts = estate.world.begin("person in the dark", lift.name), estate.world.begin("mains of a lift", lift.name)
    yield chance.randrange(5 * MINUTE, 15 * MINUTE)
    lift.set(power="mains", power_fail=False, service_mode="normal")
    estate.world.end(*facts)
    yield from _freed(lift)


def halt_empty(estate: Estate, chance: Random) -> Life:
    lift = chance.choice(estate.lifts)
    yield from _halted(lift, person=False)
    fact = estate.world.begin("empty between floors", lift.name)
    yield chance.choice((5 * SECOND, 9 * SECOND, 4 * MINUTE, 8 * MINUTE))
    estate.world.end(fact)
    yield from _freed(lift)


def halt_short(estate: Estate, chance: Random) -> Life:
    """Stop with somebody for a quarter of a minute, and go on: nothing."""
    lift = chance.choice(estate.lifts)
    yield from _halted(lift, person=True)
    yield chance.randrange(5 * SECOND, 24 * SECOND)
    yield from _freed(lift)


def under_inspection(estate: Estate, chance: Random) -> Life:
    """The maintenance firm stops it between floors with its doors open: no alarm."""
    lift = chance.choice(estate.lifts)
    yield from lift.taken()
    lift.set(service_mode="inspection")
    yield 30 * SECOND
    yield from lift.depart(1 if lift.values["floor"] == 1 else -1)
    yield 2 * SECOND
    lift.set(car_status="stopped", speed=0.0, door="open", door_closed=False, fault_door_open=True)
    yield chance.randrange(4 * MINUTE, 12 * MINUTE)
    lift.set(door="closed", door_closed=True, fault_door_open=False)
    yield from _freed(lift)
    yield 5 * SECOND
    lift.set(service_mode="normal")


def button_at_landing(estate: Estate, chance: Random) -> Life:
    """Pressed in a car that stands with its doors shut; or only for a second, or while it runs."""
    lift, world = chance.choice(estate.lifts), estate.world
    yield from lift.taken()
    yield from lift.board()
    lasts = chance.choice((SECOND, 2 * SECOND, 20 * SECOND))
    fact = world.begin("button in a car that stands", lift.name)
    lift.set(passenger_alarm=True)
    yield lasts
    lift.set(passenger_alarm=False)
    world.end(fact)
    yield SECOND
    yield from lift.leave()
    lift.busy = False


def nobody_leaves(estate: Estate, chance: Random) -> Life:
    """Somebody stays in a car that stands level with its doors shut."""
    lift, world = chance.choice(estate.lifts), estate.world
    yield from lift.taken()
    yield from lift.open()
    lift.set(passenger=True, load=7)
    yield 4 * SECOND
    lift.set(door="closed", door_closed=True)
    fact = world.begin("person behind shut doors", lift.name)
    yield chance.choice((60 * SECOND, 6 * MINUTE))
    world.end(fact)
    yield from lift.leave()
    lift.busy = False


def opened_between(estate: Estate, chance: Random) -> Life:
    """The doors of a car between two floors are forced."""
    lift = chance.choice(estate.lifts)
    yield from _halted(lift, person=False)
    yield 4 * SECOND
    lift.set(door="open", door_closed=False)
    fact = estate.world.begin("doors open between floors", lift.name)
    yield chance.randrange(15 * SECOND, 90 * SECOND)
    estate.world.end(fact)
    lift.set(door="closed", door_closed=True)
    yield 2 * SECOND
    yield from _freed(lift)


FLAGS = (
    "fault_overrun_top", "fault_pit", "moving_door_open", "fault_unintended_movement", "overspeed",
    "fault_safety_circuit", "fault_door_close", "fault_door_open", "fault_position_lost", "vibration_alarm", "ebike",
    "battery_low", "alarm_test_failed",
)  # fmt: skip


def flagged(name: str) -> Fault:
    """The lift itself reports this."""

    def life(estate: Estate, chance: Random) -> Life:
        lift = chance.choice(estate.lifts)
        yield from lift.taken()
        lift.set(**{name: True})
        fact = estate.world.begin(name, lift.name)
        yield chance.randrange(2 * MINUTE, 6 * MINUTE)
        lift.set(**{name: False})
        estate.world.end(fact)
        lift.busy = False

    return life


def flicker(estate: Estate, chance: Random) -> Life:
    """Bits that need to last come for less than they need: nothing."""
    lift = chance.choice(estate.lifts)
    for name, lasts in (("battery_low", 40), ("vibration_alarm", 3), ("fault_position_lost", 3)):
        lift.set(**{name: True})
        yield lasts * SECOND
        lift.set(**{name: False})
        yield 5 * SECOND


def mains_of_lift(estate: Estate, chance: Random) -> Life:
    lift = chance.choice(estate.lifts)
    yield from lift.taken()
    lift.set(power="failed", power_fail=True, service_mode="emergency_power")
    fact = estate.world.begin("mains of a lift", lift.name)
    yield chance.choice((SECOND, 5 * MINUTE))
    lift.set(power="mains", power_fail=False, service_mode="normal")
    estate.world.end(fact)
    lift.busy = False


def held_lift(estate: Estate, chance: Random) -> Life:
    """Somebody keeps the doors open for their furniture."""
    lift = chance.choice(estate.lifts)
    yield from lift.taken()
    fact = estate.world.begin("lift held open", lift.name)
    yield from lift.open()
    yield chance.choice((45 * SECOND, 3 * MINUTE, 8 * MINUTE))
    estate.world.end(fact)
    yield from lift.shut()
    lift.busy = False


A_MONTH: tuple[tuple[Fault, int], ...] = (
    (entrapment, 2), (entrapment_with_button, 1), (entrapment_in_the_dark, 1), (halt_empty, 4), (halt_short, 4),
    (under_inspection, 2), (button_at_landing, 4), (nobody_leaves, 2), (opened_between, 1), (flicker, 6),
    (mains_of_lift, 2), (held_lift, 6), *((flagged(name), 1) for name in FLAGS),
)  # fmt: skip
"""How often each comes in thirty days."""
