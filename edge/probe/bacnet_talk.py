"""A conversation with one BACnet/IP device: who it is, what it has, what its objects answer; see `sk probe bacnet`."""

from dataclasses import dataclass, field
from typing import Final

from drivers.bacnet.message import (
    READ_PROPERTY,
    READ_PROPERTY_MULTIPLE,
    Reference,
    Wrong,
    multiple,
    read_multiple,
    read_single,
    single,
)
from drivers.bacnet.names import DEVICE, PROPERTIES
from drivers.bacnet.options import IpLink
from drivers.bacnet.stack import Nak, Stack
from edge.probe.bacnet import (
    ANY_DEVICE,
    IDENTITY,
    MOST_OBJECTS,
    Candidate,
    Examined,
    Ways,
    by_type,
    candidates,
    identity,
    number,
    objects,
    site_yaml,
    ways,
)
from sitekeeper.model.clock import SECOND
from sitekeeper.model.errors import DeviceSilent, FieldError, LinkDown, ReplyMismatch

_BATCH: Final = 20
"""Elements of an object list that are asked for at once: 280 bytes of answer, less than the least that is usual."""


@dataclass(slots=True)
class Report:
    """What came of asking one device. `instance` None: nobody answered."""

    endpoint: str
    own: str
    instance: int | None = None
    identity: dict[str, object] = field(default_factory=dict)
    listed: str = ""
    kinds: dict[str, list[int]] = field(default_factory=dict)
    count: int = 0
    examined: list[Examined] = field(default_factory=list)
    ways: Ways = field(default_factory=dict)
    yaml: str = ""
    error: FieldError | None = None

    @property
    def state(self) -> str:
        """`answers`, `silent`, `unreachable`, `wrong` (another device, or no right answer), `incomplete`."""
        if self.error is None:
            return "answers"
        if self.identity and not isinstance(self.error, ReplyMismatch):
            return "incomplete"
        return {LinkDown: "unreachable", DeviceSilent: "silent"}.get(type(self.error), "wrong")


async def examine(link: IpLink, endpoint: str, own: str, device: int | None) -> Report:
    """Ask the device at `endpoint` everything; what failed is in the report."""
    stack, report = Stack(link), Report(f"bacnet-ip {endpoint}", own)
    try:
        await stack.open()
        await Talk(stack, endpoint, report, link.timeout / SECOND).all(device)
    except FieldError as error:
        error.endpoint = report.endpoint
        report.error = error
    finally:
        await stack.close()
    return report


class Talk:
    """One device, asked one thing after the other."""

    def __init__(self, stack: Stack, endpoint: str, report: Report, wait: float) -> None:
        self._stack, self._report, self._wait = stack, report, wait
        self._address = endpoint
        self._peer = stack.peer(endpoint)

    async def all(self, device: int | None) -> None:
        """Find out who it is, what it has, and what its objects answer to the profiles that are for them."""
        report = self._report
        instance = await self._who(device)
        await self.identify(instance)
        profiles = candidates()
        report.yaml = site_yaml(report.own, instance, self._address, report.kinds, profiles)
        for kind, instances in report.kinds.items():
            if kind in profiles:
                await self._examine(profiles[kind], instances[0])

    async def identify(self, instance: int) -> None:
        """Note in the report who device `instance` is and what it has. Raises FieldError; what came stays noted."""
        report = self._report
        report.instance = instance
        for name, prop in IDENTITY.items():
            answer = await self._read(Reference(DEVICE, instance, prop))
            report.identity[name] = identity(name, answer) if isinstance(answer, bytes) else None
        report.kinds = by_type(await self._objects(instance))
        report.ways = ways(report.identity, report.kinds)

    async def _who(self, device: int | None) -> int:
        """Return the instance of the device; one that does not introduce itself is asked by the wildcard."""
        heard = await self._stack.who_is(self._peer, self._wait)
        if heard:
            return self._meant(device, heard[0].instance)
        answer = await self._read(Reference(DEVICE, ANY_DEVICE, PROPERTIES["object-identifier"]), any_instance=True)
        found = objects(answer) if isinstance(answer, bytes) else []
        if len(found) == 1 and found[0][0] == DEVICE:
            return self._meant(device, found[0][1])
        if device is None:
            raise ReplyMismatch("it answers, but does not say who it is: give --device", endpoint=self._report.endpoint)
        await self._itself(device)
        return device

    def _meant(self, device: int | None, found: int) -> int:
        if device not in (None, found):
            raise ReplyMismatch(f"device {found} answers there, not {device}", endpoint=self._report.endpoint)
        return found

    async def _itself(self, device: int) -> None:
        answer = await self._read(Reference(DEVICE, device, PROPERTIES["object-identifier"]))
        if isinstance(answer, str):
            raise ReplyMismatch(f"another device answers there: {answer}", endpoint=self._report.endpoint)

    async def _objects(self, instance: int) -> list[tuple[int, int]]:
        """Return the object list, read whole or, where it is too long for one answer, index by index."""
        report, whole = self._report, Reference(DEVICE, instance, PROPERTIES["object-list"])
        answer = await self._read(whole)
        if isinstance(answer, bytes):
            found = objects(answer)
            report.listed, report.count = "whole", len(found)
            return found
        length = await self._read(whole._replace(element=0))
        report.listed, report.count = "one by one", (number(length) or 0) if isinstance(length, bytes) else 0
        found, several = [], True
        elements = [whole._replace(element=index) for index in range(1, min(report.count, MOST_OBJECTS) + 1)]
        for start in range(0, len(elements), _BATCH):
            batch = elements[start : start + _BATCH]
            parts = await self._batch(batch) if several else []
            several = bool(parts)
            for one in parts or [await self._read(each) for each in batch]:
                found += objects(one) if isinstance(one, bytes) else []
        return found

    async def _batch(self, references: list[Reference]) -> list[bytes | str]:
        """Return the value of each, or nothing at all if the device does not take several at once."""
        answer = await self._stack.ask(self._peer, READ_PROPERTY_MULTIPLE, multiple(references))
        found = Wrong("") if isinstance(answer, Nak) else read_multiple(answer, references)
        return [] if isinstance(found, Wrong) else [one if isinstance(one, bytes) else str(one) for one in found]

    async def _examine(self, candidate: Candidate, instance: int) -> None:
        examined = Examined(candidate, instance)
        self._report.examined.append(examined)
        for wanted in candidate.wanted:
            examined.take(wanted, await self._read(wanted.reference(instance)))

    async def _read(self, reference: Reference, *, any_instance: bool = False) -> bytes | str:
        """Return the value's bytes, or why there is none."""
        answer = await self._stack.ask(self._peer, READ_PROPERTY, single(reference))
        if isinstance(answer, Nak):
            return str(answer)
        found = read_single(answer, reference)
        if isinstance(found, Wrong) and any_instance:  # a device may answer by its own instance
            found = read_single(answer, reference._replace(instance=int.from_bytes(answer[1:5]) & ANY_DEVICE))
        if isinstance(found, Wrong):
            return found.what
        (part,) = found
        return part if isinstance(part, bytes) else str(part)
