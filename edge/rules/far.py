"""Points of other devices in a rule: every device is given those that some rule of the site names."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from edge.rules.forms import FAR, far_point
from edge.rules.rule import DeviceSpec, Rule
from edge.rules.scope import GATEWAY
from edge.rules.syntax import Call, Constant, Expression, parts
from sitekeeper.model.point import Point


def with_far(devices: Sequence[DeviceSpec], rules: Iterable[Rule]) -> Sequence[DeviceSpec]:
    """Return the devices, each with the far points that the rules name, under their ids.

    Which schedule a parameter means is known at each device only, so all of them are given.
    """
    calls = [call for rule in rules for call in far_calls(rule)]
    if not calls:
        return devices
    every = {point.id: point for device in devices for point in device.points.values()}
    found: dict[str, Point] = {}
    for call in calls:
        if all(isinstance(argument, Constant) for argument in call.arguments):
            named = [far_point(call, {})]
        else:
            named = [name for name in every if name.startswith(f"{GATEWAY}/schedule.")]
        found |= {name: every[name] for name in named if name in every}
    return [replace(device, points={**device.points, **found}) for device in devices] if found else devices


def far_calls(rule: Rule) -> Iterator[Call]:
    """Return every point of another device that a rule names."""
    inside: list[Expression] = [*rule.trees(), *rule.named.values()]
    for part in inside:  # grows while it is walked
        inside.extend(parts(part))
        if isinstance(part, Call) and part.name in FAR:
            yield part
