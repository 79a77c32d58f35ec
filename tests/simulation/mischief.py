"""Makes the faults of a plan happen, and undoes those that last."""

from collections.abc import Callable
from random import Random
from typing import Protocol

from cloud_sync import wire
from cloud_sync.fit import LAST
from sitekeeper.block import STREAMS, Stream, encode
from sitekeeper.model.clock import HOUR, SECOND, Micros
from tests.simulation import material
from tests.simulation.broker import KEEP_ALIVE, Broker
from tests.simulation.faults import Fault
from tests.simulation.gateway import Gateway
from tests.simulation.office import Office
from tests.simulation.oracle import Oracle
from tests.simulation.outbox import Book, Entry, Identity, Outbox
from tests.simulation.scheduler import Scheduler
from tests.simulation.workload import Workload

Undo = Callable[[], None]
TRICKS = (
    "killed before commit",
    "killed after commit",
    "killed while answering",
    "commit lost, outcome unknown",
    "committed, outcome unknown",
)


class Parts(Protocol):
    """What of a world can be harmed."""

    scheduler: Scheduler
    broker: Broker
    office: Office
    oracle: Oracle
    gateways: list[Gateway]
    workloads: list[Workload]
    book: Book


def begin(world: Parts, fault: Fault) -> Undo | None:
    """Let a fault begin; return what ends it, None for one of a moment."""
    kind = fault.kind
    if kind in ("office_drop", "office_swap"):
        return _on_link(world, fault, "office", kind.removeprefix("office_"))
    if kind.startswith("office") or kind == "no_bulk":
        return _at_office(world, fault)
    if kind.startswith("broker") or kind == "refused":
        return _at_broker(world, fault)
    if kind in ("cut", "half_open", "down", "swallow", "drop", "repeat", "swap", "slow"):
        return _on_link(world, fault, world.gateways[fault.site].site, kind)
    return _at_site(world, fault)


def _on_link(world: Parts, fault: Fault, name: str, kind: str) -> Undo | None:
    link, gateway = world.broker.links[name], world.gateways[fault.site]
    chance = (0.05, 0.2, 0.5)[fault.size % 3]
    match kind:
        case "cut" | "down":
            if gateway.connection is not None:
                world.broker.hang_up(gateway.connection)
            if kind == "cut":
                return None
            link.down = True

            def up() -> None:
                link.down = False
                gateway.link_up()

            return up
        case "half_open":
            if gateway.connection is not None:
                gateway.connection.dead = True
                world.scheduler.after(KEEP_ALIVE, gateway.lost, gateway.connection)
            return None
        case "swallow":
            return _switch(link, "swallows", True, False)
        case "slow":
            return _switch(link, "slow", fault.size % (4 * SECOND), 0)
        case _:
            return _switch(link, kind, chance, 0.0)


def _switch(where: object, name: str, on: object, off: object) -> Undo:
    setattr(where, name, on)
    return lambda: setattr(where, name, off)


def _at_broker(world: Parts, fault: Fault) -> Undo | None:
    broker = world.broker
    match fault.kind:
        case "broker_restart" | "broker_forgets":
            memory = broker.memory() if fault.kind == "broker_restart" else ({}, {})
            broker.restart(memory)
            return _switch(broker, "up", False, True)
        case "broker_set_back":
            old = broker.memory()
            return lambda: broker.restart(old)
        case "broker_repeats":
            for name in sorted(broker.clients):
                broker.redeliver(name)
            return None
        case _:
            refused = f"{world.gateways[fault.site].site}/{STREAMS[fault.size % 3]}"
            broker.refused.add(refused)
            return lambda: broker.refused.discard(refused)


def _at_office(world: Parts, fault: Fault) -> Undo | None:
    office = world.office
    lane = ("urgent", "bulk")[fault.size % 2]
    match fault.kind:
        case "office_cut":
            office.cut(lane)
        case "office_half_open":
            office.half_open(lane)
        case "office_killed":
            office.crash()
        case "office_trick":
            office.tricks.append(TRICKS[fault.size % len(TRICKS)])
        case "office_clock":
            office.wall_offset += _step(fault)
        case "office_full":
            return _switch(office, "disk_full", True, False)
        case "no_bulk":
            office.no_bulk = True
            office.cut("bulk")
            return lambda: setattr(office, "no_bulk", False)
        case _:
            backup = office.backup()
            return lambda: office.set_back(backup)
    return None


def _at_site(world: Parts, fault: Fault) -> Undo | None:
    gateway, workload, kind = world.gateways[fault.site], world.workloads[fault.site], fault.kind
    match kind:
        case "gateway_killed" | "new_epoch" | "salvaged" | "new_catalogue":
            if not gateway.alive:
                return None
            gateway.crash()
            if kind in ("new_epoch", "salvaged"):
                _new_disk(world, gateway, workload, Random(fault.size) if kind == "salvaged" else None)
            elif fault.kind == "new_catalogue":
                gateway.catalogue, payload = material.catalogue(gateway.site, 3, 1 + fault.size % 3)
                gateway.outbox.catalogues[gateway.catalogue] = payload
            return gateway.start
        case "gateway_clock":
            gateway.wall_offset += _step(fault)
        case "evict":
            workload.drop(1 + fault.size % 20)
        case "newer":
            gateway.outbox.newer = True
            outbox = gateway.outbox
            return lambda: setattr(outbox, "newer", False)
        case "twin":
            _twin(world, fault, gateway, workload)
        case "far":
            stream = STREAMS[fault.size % 3]
            block = workload.far(stream, LAST + 1 + fault.size**2 % (2**62 - LAST - 2))
            payload = encode(block)
            world.oracle.stranger(payload)
            world.broker.publish(wire.up_topic(gateway.site, stream), payload)
        case "disk_sick" | "disk_dies":
            return _sick(gateway, dies=kind == "disk_dies")
        case "order_held":
            return _held(world.broker, gateway.site, fault.size % (30 * SECOND))
        case _:
            poison = material.POISONS[fault.size % len(material.POISONS)]
            workload.poison.append((STREAMS[fault.size // 7 % 3], poison))
    return None


def _step(fault: Fault) -> Micros:
    """Return a step of a wall clock of up to a day, either way."""
    return fault.size % (48 * HOUR) - 24 * HOUR


def _sick(gateway: Gateway, *, dies: bool) -> Undo:
    """The disk takes nothing for a while; then it does again, or the process is killed and what it held is gone."""
    outbox = gateway.outbox
    outbox.sick = True

    def end() -> None:
        outbox.sick = False
        if not dies or not gateway.alive:
            gateway.flush_soon()
            return
        gateway.crash()
        gateway.start()

    return end


def _held(broker: Broker, site: str, late: Micros) -> Undo:
    """Somebody holds the office's orders to a site up for so long, and lets half of them through at once as well."""
    broker.held[site] = late

    def end() -> None:
        broker.held.pop(site, None)

    return end


def _new_disk(world: Parts, gateway: Gateway, workload: Workload, salvage: Random | None) -> None:
    """The disk was damaged: what had no receipt is lost with it, but for what can be saved, and a new epoch begins."""
    old = gateway.outbox
    number = int(old.epoch.rpartition("e")[2]) + 1
    new = Outbox(old.site, f"{old.site}-e{number}", world.book, catalogues=old.catalogues)
    kept = _carry_over(old, new, salvage) if salvage is not None else set()
    waiting = [old.unreleased["events"], *(one for (_, stream), one in old.saved.items() if stream == "events")]
    telling = any(entry.block and entry.block.events for entries in waiting for entry in entries.values())
    lost: dict[tuple[str, Stream], list[int]] = {}
    for identity, entries in world.book.items():
        if identity[0] == old.site and (identity[1] == old.epoch or (identity[1], identity[2]) in old.saved):
            for entry in entries:
                waits = _waiting(old, identity) is entry
                if waits and identity not in kept:
                    lost.setdefault((identity[1], identity[2]), []).append(identity[3])
                if (waits and identity not in kept) or (telling and entry.fate == "dropped"):  # or what told of it
                    entry.fate = "lost"
    gateway.outbox = new
    workload.begin_epoch()
    world.scheduler.seen("new epoch")
    if salvage is not None:
        for (epoch, stream), sequences in sorted(lost.items()):
            ranges = ", ".join(f"{first}-{last}" for first, last in wire.ranges(sequences))
            fields = {"old_epoch": epoch, "stream": stream, "lost": ranges}
            workload.event("salvaged", fields, device="gateway", then=lambda: None)
        new.flush()


def _waiting(outbox: Outbox, identity: Identity) -> Entry | None:
    _, epoch, stream, sequence = identity
    where = outbox.unreleased[stream] if epoch == outbox.epoch else outbox.saved.get((epoch, stream), {})
    return where.get(sequence)


def _carry_over(old: Outbox, new: Outbox, random: Random) -> set[Identity]:
    """Save what can be read: all but a stretch of each stream, of this file and of those before it."""
    kept: set[Identity] = set()
    here = {(old.epoch, stream): entries for stream, entries in old.unreleased.items()}
    for key, entries in sorted({**old.saved, **here}.items()):
        first = random.randrange(-len(entries), len(entries) + 1) if entries else 0
        gone = range(first, first + random.randrange(1, 8))
        saved = {one: entry for place, (one, entry) in enumerate(entries.items()) if place not in gone}
        if saved:
            new.saved[key] = saved
            kept |= {entry.identity for entry in saved.values()}
    history = {(old.epoch, stream): entries for stream, entries in old.history.items()}
    new.saved_history = {key: dict(entries) for key, entries in {**old.saved_history, **history}.items()}
    return kept


def _twin(world: Parts, fault: Fault, gateway: Gateway, workload: Workload) -> None:
    """Another gateway with this one's identity sends other bytes for a block that the office has already."""
    waiting = gateway.outbox.unreleased["samples"]
    done = [
        entries[0]
        for identity, entries in world.book.items()
        if identity[:3] == (gateway.site, gateway.outbox.epoch, "samples") and identity[3] not in waiting
    ]
    entry = workload.twin(done[fault.size % len(done)]) if done else None
    if entry is not None and world.broker.up:
        world.book[entry.identity].append(entry)
        world.broker.publish(wire.up_topic(gateway.site, "samples"), entry.payload)
