"""What is done at doors and to their controllers."""

from random import Random

from tests.month.machines import Door, Estate, Fault
from tests.month.world import MINUTE, SECOND, Life


def _unused(door: Door) -> Life:
    while door.busy or not door.reachable:
        yield SECOND
    door.busy = True
    yield 15 * SECOND


def forced(estate: Estate, chance: Random) -> Life:
    door = chance.choice(estate.doors)
    yield from _unused(door)
    known = door.swing(open_=True)
    fact = estate.world.begin("forced", door.name, known)
    yield chance.randrange(4 * SECOND, 25 * SECOND)
    door.swing(open_=False)
    estate.world.end(fact)
    yield 15 * SECOND
    door.busy = False


def forced_unheard(estate: Estate, chance: Random) -> Life:
    """Forced while its controller cannot be heard: told late, and true all the same."""
    controller = chance.choice(estate.controllers)
    door = chance.choice(controller.doors)
    yield from _unused(door)
    estate.world.storm(40 * MINUTE)
    estate.world.begin("controller silent", controller.name).end = estate.world.now + 4 * MINUTE
    for each in controller.doors:
        estate.world.spawn(each.silent(4 * MINUTE))
    yield 2 * MINUTE
    fact = estate.world.begin("forced", door.name, estate.world.now + 2 * MINUTE)
    door.swing(open_=True)
    yield 20 * SECOND
    door.swing(open_=False)
    estate.world.end(fact)
    yield 2 * MINUTE + SECOND
    fact.known = max(fact.known, estate.world.now)
    controller.catch_up()
    door.busy = False


def held_door(estate: Estate, chance: Random) -> Life:
    door = chance.choice(estate.doors)
    yield from _unused(door)
    door.read()
    yield SECOND
    known = door.swing(open_=True)
    fact = estate.world.begin("held open", door.name, known)
    yield chance.choice((22 * SECOND, 50 * SECOND, 3 * MINUTE, 7 * MINUTE))
    known = door.swing(open_=False)
    estate.world.end(fact)
    yield 15 * SECOND
    door.busy = False


def refusals(estate: Estate, chance: Random) -> Life:
    """Card after card that has no right: four in a minute are not five."""
    door = chance.choice(estate.doors)
    yield from _quiet(door)
    for count in range(chance.choice((4, 5, 7))):
        known = door.read(granted=False, reason=6)
        if count == 4:
            estate.world.end(estate.world.begin("five refusals in a minute", door.name, known))
        yield 7 * SECOND
    yield MINUTE
    door.refuses = False


def _quiet(door: Door) -> Life:
    """Wait until nobody was refused there for a minute, and keep it so."""
    while door.refuses or not door.reachable:
        yield SECOND
    door.refuses = True


def twice_in(estate: Estate, chance: Random) -> Life:
    door = chance.choice(estate.doors)
    yield from _quiet(door)
    known = door.read(granted=False, reason=8)
    estate.world.end(estate.world.begin("anti-passback", door.name, known))
    yield MINUTE
    door.refuses = False


def under_duress(estate: Estate, chance: Random) -> Life:
    door = chance.choice(estate.doors)
    yield from _unused(door)
    known = door.read(duress=True)
    estate.world.end(estate.world.begin("duress", door.name, known))
    yield 2 * SECOND
    door.swing(open_=True)
    yield 5 * SECOND
    door.swing(open_=False)
    yield 15 * SECOND
    door.busy = False


def tailgating(estate: Estate, chance: Random) -> Life:
    door = chance.choice(estate.doors)
    yield from _unused(door)
    door.read()
    yield SECOND
    door.swing(open_=True)
    yield 2 * SECOND
    door.swing(open_=False)
    yield SECOND
    known = door.swing(open_=True)
    estate.world.end(estate.world.begin("second opening on one grant", door.name, known))
    yield 2 * SECOND
    door.swing(open_=False)
    yield 15 * SECOND
    door.busy = False


def button_unused(estate: Estate, chance: Random) -> Life:
    door = chance.choice(estate.doors)
    yield from _unused(door)
    door.let_out()
    fact = estate.world.begin("exit button and nobody comes", door.name)
    yield 5 * SECOND
    door.set(lock__state="locked")
    yield 30 * SECOND
    estate.world.end(fact)
    door.busy = False


def tampered(estate: Estate, chance: Random) -> Life:
    door = chance.choice(estate.doors)
    door.set(tamper__reader=True)
    fact = estate.world.begin("tampered", door.name)
    yield chance.choice((SECOND, MINUTE))
    door.set(tamper__reader=False)
    estate.world.end(fact)


def lock_broken(estate: Estate, chance: Random) -> Life:
    door = chance.choice(estate.doors)
    yield from _unused(door)
    door.set(lock__state="fault")
    fact = estate.world.begin("lock broken", door.name)
    yield chance.choice((2 * SECOND, 3 * MINUTE))
    door.set(lock__state="locked")
    estate.world.end(fact)
    yield 5 * SECOND
    door.busy = False


def controller_silent(estate: Estate, chance: Random) -> Life:
    """A controller is not heard for a while; what its doors did meanwhile it tells afterwards."""
    controller = chance.choice(estate.controllers)
    lasts = chance.choice((20 * SECOND, 3 * MINUTE, 12 * MINUTE))
    fact = estate.world.begin("controller silent", controller.name)
    for each in controller.doors:
        estate.world.spawn(each.silent(lasts))
    yield lasts + SECOND
    estate.world.end(fact)
    controller.catch_up()


A_MONTH: tuple[tuple[Fault, int], ...] = (
    (forced, 4), (forced_unheard, 1), (held_door, 20), (refusals, 6), (twice_in, 3), (under_duress, 1),
    (tailgating, 3), (button_unused, 3), (tampered, 3), (lock_broken, 3), (controller_silent, 4),
)  # fmt: skip
"""How often each comes in thirty days."""
