"""The field as the gateway drives it: a driver for each link, what may be written, and whether it is fresh."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from drivers import registry
from drivers.base import Driver, Services
from edge.changes import Changes
from edge.commands import warning
from edge.commands.guard import WITH_PRIORITIES, Present, Target
from edge.latest import Latest
from edge.settings.values import Site
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import NotFound
from sitekeeper.model.point import ONLINE, Point, stale_after
from sitekeeper.model.sample import Sample, Value

POWER_CYCLED: Final = "power_cycled"
"""The point by which a device tells that its supply was interrupted."""


def drivers(site: Site, clock: Clock, services: Services) -> dict[str, Driver]:
    """Return a driver, not yet open, for each link that has something to read."""
    made = {}
    for link in site.links.values():
        devices = site.on_link(link.id)
        if any(device.groups for device in devices):
            made[link.id] = registry.kind(link.kind).create(link.id, link.options, devices, clock, services)
    return made


def writer(site: Site, made: Mapping[str, Driver]) -> Callable[[str, str, Value, int], Awaitable[None]]:
    """Return what writes (device, point, value, priority) through the driver of the device's link."""

    async def write(device: str, point: str, value: Value, priority: int) -> None:
        driver = made.get(site.devices[device].link)
        if driver is None:
            raise NotFound(f"nothing is read from the link of {device!r}, so nothing is written")
        await driver.write(device, point, value, priority)

    return write


def targets(site: Site) -> dict[str, Target]:
    """Return what may be written on a site, by point id."""
    points = {point.id: point for point in site.points}
    found = {}
    for device in site.devices.values():
        reads = (read for group in device.read.groups for read in group.points)
        warning_gear = {read.name for read in reads if getattr(read.address, "gear_warns", False)}
        for name, writable in device.writables.items():
            confirm = None if writable.confirm is None else points.get(f"{device.id}/{writable.confirm.point}")
            found[f"{device.id}/{name}"] = Target(
                point=points[f"{device.id}/{name}"],
                writable=writable,
                online=points[f"{device.id}/{ONLINE}"],
                interlock=points.get(f"{device.id}/{writable.interlock}"),
                confirm=confirm,
                relinquishes=registry.kind(site.links[device.link].kind).family == WITH_PRIORITIES,
                cycled=points.get(f"{device.id}/{POWER_CYCLED}"),
                presence=points.get(f"{device.id}/{warning.PRESENCE}"),
                occupied=warning.OCCUPIED in device.tags,
                gear_warns=name in warning_gear,
            )
    return found


class Freshness:
    """Tells what may still be believed. A derived point is as fresh as everything that is read from its device."""

    def __init__(self, site: Site, changes: Changes, latest: Latest, clock: Clock) -> None:
        self._changes, self._latest, self._clock = changes, latest, clock
        limits = {group.id: stale_after(group.period) for group in site.groups}
        for point in site.points:
            if point.group:
                limits[point.group] = min(limits[point.group], point.stale_after)
        self._limits = limits
        self._of_device: dict[str, list[str]] = {}
        for group in site.groups:
            self._of_device.setdefault(group.device, []).append(group.id)

    def present(self, since: Micros | None) -> Present:
        """Return the site as it stands; with `since`, only what was read after that time is fresh."""
        now = self._clock.monotonic()

        def sample(point: Point) -> Sample | None:
            return self._latest.get(point.handle)

        def fresh(point: Point) -> bool:
            groups = [point.group] if point.group else self._of_device.get(point.device, [])
            vouched = [self._changes.good_until(group) for group in groups]
            for group, until in zip(groups, vouched, strict=True):
                if until is None or now - until > self._limits[group]:
                    return False
            if since is None or all(until is not None and until > since for until in vouched):
                return True
            last = sample(point)
            return last is not None and last.at > since

        return Present(sample, fresh)
