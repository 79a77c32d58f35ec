"""Which commands are known by their key: those of people, who may ask again; not what the gateway did of its own."""

from collections.abc import Mapping
from concurrent.futures import Future

from edge.commands import audit
from edge.commands.desk import Result
from edge.commands.told import REMEMBERED, Told
from sitekeeper.model.clock import ManualClock
from sitekeeper.model.command import Role
from sitekeeper.model.sample import Value

DONE = Result("confirmed")


def record(
    source_id: str, fields: Mapping[str, Value], *, audit: bytes, state: Mapping[str, bytes | None]
) -> "Future[None]":
    raise AssertionError("an answer is no record")


async def test_what_the_gateway_does_pushes_no_key_of_a_person_out() -> None:
    """More tests of lamps than there is room for keys, all answered: the person's key gets its first answer still."""
    told = Told(record, ManualClock(), {})
    told.remember("k", "door-1/mode=free", Result("accepted"))
    waiting = told.expect("k")
    for number in range(REMEMBERED + 1):
        answer = told.expect(f"act-{number}")
        told.answer(f"act-{number}", DONE)
        assert await answer == DONE
    told.answer("k", DONE)
    assert await waiting == await told.again("k", "door-1/mode=free") == DONE
    assert "act-0" not in told


def test_after_a_restart_only_keys_of_people_are_known() -> None:
    """The audit has rows of the gateway's own commands too."""

    def row(key: str, role: Role) -> bytes:
        return audit.encode(audit.AuditRow(1, True, "x", role, "site", audit.WRITE, "p", "accepted", ack_id=key))

    assert audit.commands([row("act", "linkage"), row("k", "operator")]).keys() == {"k"}
