"""Who may still be inside: the last entry without an exit, whatever came late, and what the list cannot know."""

from typing import Any

from edge.muster import Entry, muster
from sitekeeper.model.clock import SECOND
from sitekeeper.model.event import Event

DOORS = {"hall": True, "yard": True}
INNER = DOORS | {"server-room": False}


def read(at: int, cred: str | None, way: str | None = "in", door: str = "hall", **more: Any) -> tuple[int, Event]:
    """Return a granted read, recorded at so many seconds; `source` is the door's own time, told late."""
    source = more.pop("source", None)
    fields = {"granted": True, "cred": cred, "dir": way} | more
    late = source is not None
    return at * SECOND, Event(f"{door}/read.event", at, fields, None, source * SECOND if late else None, late)


def inside(*events: tuple[int, Event]) -> list[tuple[int, str, str]]:
    """Return those on the list: at how many seconds, by which door, who."""
    return [(at // SECOND, door, cred) for at, door, cred in muster(events, INNER, 0).people]


def test_whoever_came_in_last_is_on_the_list_and_whoever_went_out_is_not() -> None:
    """Each once, with the last entry, newest first; a refused read is no entry, and no passage is none."""
    found = inside(
        read(1, "ann"), read(2, "bob"), read(3, "ann", "out"), read(4, "cid"), read(5, "cid", door="yard"),
        read(6, "bob", "out", granted=False), read(7, "dan", granted=False), read(8, "ann"),
    )  # fmt: skip
    assert found == [(8, "hall", "ann"), (5, "yard", "cid"), (2, "hall", "bob")]


def test_what_is_told_late_counts_by_its_own_time() -> None:
    """An entry told after the exit that followed it does not undo it; a time of the future is not believed."""
    late_in = read(900, "ann", source=100)
    assert inside(read(500, "ann", "out"), late_in) == []
    assert inside(read(50, "ann", "out"), late_in) == [(100, "hall", "ann")]
    assert inside(read(500, "ann"), read(900, "ann", "out", source=600)) == []
    assert inside(read(500, "ann"), read(600, "ann", "out", source=9999), read(700, "ann")) == [(700, "hall", "ann")]


def test_the_list_says_what_it_cannot_know() -> None:
    """Doors that read nobody out are named, and exit buttons counted; other devices, and unreadable cards, left out.

    Who was let through with no word of which way is on it.
    """
    button = 5 * SECOND, Event("yard/rex.event", 5, {"reason": 20})
    elsewhere = 6 * SECOND, Event("lift/rex.event", 6, {"reason": 20})
    found = muster(
        [read(1, "ann"), read(2, "bob", "out"), read(3, "cid", door="yard"), button, elsewhere, read(7, None),
         read(8, "eve", None), read(9, "fox", door="lift")],
        DOORS, 1,
    )  # fmt: skip
    assert (found.no_out, found.by_button, found.since) == (("yard",), 1, 1)
    assert [entry.cred for entry in found.people] == ["eve", "cid", "ann"]
    assert found.people[1] == Entry(3 * SECOND, "yard", "cid")
    assert muster([read(1, "eve", None)], DOORS, 0).no_out == ("hall",)


def test_who_was_read_out_of_an_inner_room_is_still_in_the_building() -> None:
    """An outer door alone takes somebody off; an inner one says where somebody was last, and nothing of ways out."""
    assert inside(read(1, "ann"), read(2, "ann", door="server-room"), read(3, "ann", "out", "server-room")) == [
        (3, "server-room", "ann")
    ]
    assert inside(read(1, "ann"), read(2, "ann", "out", "server-room"), read(3, "ann", "out", "yard")) == []
    button = 5 * SECOND, Event("server-room/rex.event", 5, {"reason": 20})
    found = muster([read(1, "ann", door="server-room"), button], INNER, 0)
    assert (found.no_out, found.by_button) == ((), 0)
