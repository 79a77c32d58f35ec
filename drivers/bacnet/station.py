"""One BACnet device on the network: who it is, how much it takes at once, and what was learned about it."""

import asyncio
from typing import Final

from drivers.bacnet.codec import atoms
from drivers.bacnet.cov import RARELY, Subscriptions
from drivers.bacnet.learned import WHO, Learned, Who
from drivers.bacnet.message import (
    READ_PROPERTY,
    READ_PROPERTY_MULTIPLE,
    UNSIGNED,
    WRITE_PROPERTY,
    Malformed,
    Reference,
    Wrong,
    multiple,
    read_single,
    single,
    write,
)
from drivers.bacnet.names import DEVICE, PROPERTIES
from drivers.bacnet.options import BacnetDevice
from drivers.bacnet.plan import Request, halved, plan
from drivers.bacnet.stack import Nak, Stack
from drivers.memory import Memory
from sitekeeper.model.clock import Clock, Micros
from sitekeeper.model.errors import DeviceSilent, FieldError, ReplyMismatch

OBJECT_CLASS: Final = 1
UNKNOWN_OBJECT: Final = 31
UNKNOWN_PROPERTY: Final = 32
"""Error class and code (ANSI/ASHRAE 135-2020, 18.3)."""
TOO_LONG: Final = frozenset({("abort", 1), ("abort", 4), ("abort", 9), ("abort", 11), ("reject", 1)})
"""Buffer overflow, segmentation not supported, out of resources, APDU too long: ask for less at once."""
FOR_GOOD: Final = TOO_LONG - {("abort", 9)}
"""Of these, what will be the same tomorrow: only for the moment may a device lack resources."""
NO_SUCH_SERVICE: Final = ("reject", 9)

UNSURE: Final = "; whether it was carried out is unknown"

_SMALLEST: Final = 50
"""No device may take less."""


class Station:
    """Talks to one device instance at one address.

    Attributes:
        max_apdu: most bytes of one message, once `meet` was successful.
        learned: how much it takes at once; kept in `memory`, where there is one, under the name that `keep` was given.
        in_flight: most requests at once. Beyond 256 the library would spin for ever, so options allow 8.
        key: its address, as the port names it, and instance. met: it is sure to be the one meant.
        subscriptions: what it tells by itself.
    """

    def __init__(self, stack: Stack, options: BacnetDevice, clock: Clock, timeout: Micros) -> None:
        self.endpoint = f"bacnet-ip {options.address} device {options.device}"
        self.max_apdu: int = options.max_apdu
        self.in_flight = options.in_flight
        self.learned = Learned(f"{options.address} {options.device}")
        self._memory: Memory | None = None
        self._name = ""
        self._saved = 0
        self._most: int = options.max_apdu
        self._stack, self._clock, self._timeout = stack, clock, timeout
        self._peer = stack.peer(options.address)
        self.key = str(self._peer), options.device
        self._itself = Reference(DEVICE, options.device, PROPERTIES["max-apdu-length-accepted"])
        self._slots = asyncio.Semaphore(options.in_flight)
        self._meeting = asyncio.Lock()
        self.met = False
        self.subscriptions = Subscriptions(
            process=stack.process, lifetime=options.cov_lifetime, confirmed=options.cov == "confirmed"
        )
        self._lacking: frozenset[Reference] = frozenset()
        self._lacking_until: Micros = 0
        self._silent_until: Micros = 0
        self._silent_for = ""

    def also(self, options: BacnetDevice) -> None:
        """Take another entry of the site for the same device into account: the narrower limits hold."""
        self._most = self.max_apdu = min(self._most, options.max_apdu)
        if options.in_flight < self.in_flight:
            self.in_flight = options.in_flight
            self._slots = asyncio.Semaphore(options.in_flight)

    def keep(self, memory: Memory | None, name: str) -> None:
        """Take up what was kept of the device; of several names for one device the first holds."""
        if memory is not None and self._memory is None:
            self._memory, self._name = memory, name
            kept = memory.recall(name)
            if kept is not None:
                self.learned.unpack(kept)

    @property
    def single(self) -> bool:
        """It does not know ReadPropertyMultiple."""
        return self.learned.single

    @property
    def lacking(self) -> frozenset[Reference]:
        """Flags of objects that it has not, as far as was found within the hour."""
        if self._lacking and self._clock.monotonic() >= self._lacking_until:
            self._lacking = frozenset()
        return self._lacking

    def lack(self, references: frozenset[Reference]) -> None:
        """Ask no more for these: for an hour, or until it was silent."""
        if not references <= self._lacking:
            self._lacking |= references
            self._lacking_until = self._clock.monotonic() + RARELY

    def begin(self) -> None:
        """Know nothing of the device, as after the link was opened."""
        self._silent_until = 0
        self.forget()

    def forget(self) -> None:
        """Have the device introduce itself anew: another may stand there now, or the same with other firmware."""
        self.met = False
        self.max_apdu, self._lacking = self._most, frozenset()
        if self.learned.who is None:
            self.learned.forget()
        self.subscriptions.lost()

    async def meet(self, group: str) -> bool:
        """Make sure, if that is not sure yet, that this is the device meant; return whether it was asked.

        Raises:
            DeviceSilent: no answer, now or a moment ago when another group asked.
            ReplyMismatch: another device answers at this address.
            LinkDown: the port is lost.
        """
        if self._clock.monotonic() < self._silent_until and group != self._silent_for:
            raise DeviceSilent("did not answer a moment ago", endpoint=self.endpoint)
        if self.met:
            return False
        await self._meet(group)
        return True

    async def _meet(self, group: str) -> None:
        async with self._meeting:
            if not self.met:  # else another group has asked meanwhile
                answer = await self._ask(group, READ_PROPERTY, single(self._itself))
                most = self._introduced(answer)
                if self.learned.who is not None and await self._who() != self.learned.who:
                    self.learned.forget()
                self.max_apdu, self.met = most, True

    async def remember(self) -> None:
        """Keep what was learned since the last time, once the device has said who it is.

        Raises:
            LinkDown: the port is lost.
        """
        learned = self.learned
        if self._memory is None or self._saved == learned.version:
            return
        if learned and learned.who is None:
            who = await self._who()
            if not self.met:
                return  # lost meanwhile, and forgotten with it
            learned.who = who if any(who) else None
        if learned.who is not None or not learned:
            self._memory.keep(self._name, learned.pack())
        self._saved = learned.version

    async def _who(self) -> Who:
        """Ask the device for what it is known by; a question that stays without an answer is the last."""
        said = []
        for prop in WHO:
            try:
                said.append(await self.property(Reference(DEVICE, self.key[1], prop)) or b"")
            except ReplyMismatch:
                said.append(b"")
            except DeviceSilent:
                break
        return tuple(said)

    async def ask(self, group: str, request: Request) -> bytes | Nak:
        """Return the service data of the answer, or how the device declined.

        Raises:
            DeviceSilent, LinkDown.
        """
        if len(request.items) == 1:
            return await self._ask(group, READ_PROPERTY, single(request.items[0].reference))
        return await self._ask(group, READ_PROPERTY_MULTIPLE, multiple(request.references))

    async def property(self, reference: Reference) -> bytes | None:
        """Return one property that no point is, for people; None if the device declines.

        Its silence is not held against it: some answer nothing but what they were bought for.

        Raises:
            DeviceSilent: no answer. ReplyMismatch: it answered something else. LinkDown: the port is lost.
        """
        async with self._slots:
            answer = await self._stack.ask(self._peer, READ_PROPERTY, single(reference))
        if isinstance(answer, Nak):
            return None
        found = read_single(answer, reference)
        if isinstance(found, Wrong):
            raise ReplyMismatch(found.what, endpoint=self.endpoint, raw=answer[:300])
        return found[0] if isinstance(found[0], bytes) else None

    async def write(self, reference: Reference, value: bytes, priority: int) -> Nak | None:
        """Write one property, once, of the device that is sure to be the one meant; return how it declined, if it did.

        A write is tried though the device was silent a moment ago, and its own silence keeps nobody from reading.

        Raises:
            DeviceSilent: no answer; whether the write was carried out is unknown if it was sent, and the text says so.
            ReplyMismatch: another device answers at this address, or what answered is no acknowledgement.
            LinkDown: the port is lost.
        """
        if not self.met:
            await self._meet("")
        async with self._slots:
            self._stack.ready()
            try:
                answer = await self._stack.ask(self._peer, WRITE_PROPERTY, write(reference, value, priority))
                if answer:
                    if isinstance(answer, Nak):
                        return answer
                    raise ReplyMismatch(
                        "the answer is no plain acknowledgement", endpoint=self.endpoint, raw=answer[:300]
                    )
            except FieldError as error:
                error.what += UNSURE
                error.endpoint = self.endpoint
                raise
        return None

    async def subscribe(self, service: int, data: bytes) -> Nak | None:
        """Ask for a subscription, or give it up; return how the device declined, if it did.

        Its silence is not held against it: some answer everything but what they do not know.

        Raises:
            DeviceSilent: no answer. ReplyMismatch: what answered is no acknowledgement. LinkDown: the port is lost.
        """
        async with self._slots:
            answer = await self._stack.ask(self._peer, service, data)
        if answer and not isinstance(answer, Nak):
            raise ReplyMismatch("the answer is no plain acknowledgement", endpoint=self.endpoint, raw=answer[:300])
        return answer if isinstance(answer, Nak) else None

    def smaller(self, request: Request, nak: Nak) -> list[Request]:
        """Return requests to try instead of one that was declined as a whole; none if that would not help."""
        if len(request.items) == 1:
            return []
        if (nak.kind, nak.code) == NO_SUCH_SERVICE:
            self.learned.alone()
            return plan(request.items, self.max_apdu, single=True)
        one_object = len({reference[:2] for reference in request.references}) == 1
        if one_object and _no_such_object(nak):
            return []
        return halved(request) if nak.kind == "error" or (nak.kind, nak.code) in TOO_LONG else []

    async def _ask(self, group: str, service: int, data: bytes) -> bytes | Nak:
        async with self._slots:
            try:
                answer = await self._stack.ask(self._peer, service, data)
            except DeviceSilent as silence:
                # Every scan group here would now wait for a time-out of its own, and all others on the link with it.
                self._silent_until, self._silent_for = self._clock.monotonic() + self._timeout, group
                silence.endpoint = self.endpoint
                raise
        self._silent_until = 0
        return answer

    def _introduced(self, answer: bytes | Nak) -> int:
        """Return the limit that holds from what the device said of itself."""
        if isinstance(answer, Nak):
            if _no_such_object(answer):
                raise ReplyMismatch("another device answers there", endpoint=self.endpoint)
            return self._most
        found = read_single(answer, self._itself)
        if isinstance(found, Wrong):
            raise ReplyMismatch(found.what, endpoint=self.endpoint, raw=answer[:300])
        (part,) = found
        assert isinstance(part, bytes)
        try:
            said = atoms(part)
        except Malformed:
            said = []
        if len(said) == 1 and said[0][0] == UNSIGNED and isinstance(said[0][1], int):
            return min(self._most, max(_SMALLEST, said[0][1]))
        return self._most


def _no_such_object(nak: Nak) -> bool:
    return (nak.kind, nak.error_class, nak.code) == ("error", OBJECT_CLASS, UNKNOWN_OBJECT)
