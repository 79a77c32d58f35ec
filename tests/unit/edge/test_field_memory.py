"""What drivers learn is kept in the state of the outbox, and that of devices that are gone is not."""

from typing import Any

from edge.field_memory import LARGEST, FieldMemory
from sitekeeper.model.errors import StorageError


class Store:
    """The state as it would be found after a restart; `full`: it takes nothing."""

    def __init__(self) -> None:
        self.state: dict[str, bytes] = {"~drill": b"x", "~learned/gone": b"old"}
        self.full, self.writes = False, 0

    def note(self, state: Any) -> None:
        if self.full:
            raise StorageError("full")
        self.writes += 1
        for key, what in state.items():
            self.state.pop(key, None)
            if what is not None:
                self.state[key] = what


def test_it_is_there_after_a_restart_and_others_state_is_left_alone():
    """What was kept last comes back; devices that the site has no more are struck out with the next write."""
    store = Store()
    memory = FieldMemory(store.state, ["lift"], store.note)
    assert memory.recall("lift") is None
    memory.keep("lift", b"a")
    memory.keep("lift", b"b")
    memory.keep("lift", b"b")
    assert store.writes == 2
    assert store.state == {"~drill": b"x", "~learned/lift": b"b"}
    assert FieldMemory(store.state, ["lift"], store.note).recall("lift") == b"b"


def test_what_cannot_be_stored_now_goes_with_the_next():
    """A full disk loses nothing that is still known, and is no error of the driver's."""
    store = Store()
    memory = FieldMemory(store.state, ["lift", "gate"], store.note)
    store.full = True
    memory.keep("lift", b"a")
    assert memory.recall("lift") == b"a"
    store.full = False
    memory.keep("gate", b"c")
    assert store.state == {"~drill": b"x", "~learned/lift": b"a", "~learned/gate": b"c"}


def test_it_is_bounded():
    """Of one device no more is kept than fits."""
    store = Store()
    FieldMemory(store.state, ["lift"], store.note).keep("lift", bytes(LARGEST + 1))
    assert "~learned/lift" not in store.state
