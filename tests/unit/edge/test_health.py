"""What `sk status` names as needing a person, and in what order."""

from typing import Any

import pytest

from edge.health import Facts, problems
from sitekeeper.model.clock import MINUTE, SECOND


def facts(**more: Any) -> Facts:
    """Return the facts of a gateway with which all is well, but for `more`."""
    well: dict[str, Any] = {
        "clock_trusted": True,
        "writer_error": "",
        "volatile": 0,
        "office": "connected",
        "receipt_age": SECOND,
        "unsent": 0,
        "silent_devices": (),
        "unacked": 0,
        "uptime": 60 * MINUTE,
    }
    return Facts(**(well | more))


def codes(**more: Any) -> list[str]:
    return [problem.code for problem in problems(facts(**more))]


def test_nothing_is_wrong_with_a_healthy_gateway() -> None:
    """No problem is made up."""
    assert problems(facts()) == []


def test_everything_at_once_is_named_worst_first_with_a_command_each() -> None:
    """The disk before alarms, alarms before devices, devices before the office, the clock last."""
    found = problems(
        facts(
            clock_trusted=False, writer_error="disk full", office="connecting", receipt_age=None, unsent=3,
            silent_devices=("lift-a1", "lift-a2"), unacked=2,
        )
    )  # fmt: skip
    assert [p.code for p in found] == ["writer", "alarms", "device", "device", "office", "clock"]
    assert all(p.hint and p.message for p in found)
    assert "disk full" in found[0].message
    assert found[3].hint == "sk device show lift-a2"
    assert "connecting" in found[4].message
    assert "3" in found[4].message


def test_alarms_that_are_only_in_memory_are_named_behind_the_disk() -> None:
    """They would be gone with the process: nobody should restart it."""
    assert codes(writer_error="disk full", volatile=2, unacked=1) == ["writer", "volatile", "alarms"]


@pytest.mark.parametrize("state", ["connecting", "connected", "waiting", "refused"])
def test_an_office_that_gives_no_receipts_is_a_problem_whatever_the_connection_says(state: str) -> None:
    """Blocks wait and no receipt has come for 15 s: that is what counts."""
    assert codes(office=state, unsent=1, receipt_age=15 * SECOND) == ["office"]
    assert codes(office=state, unsent=1, receipt_age=None) == ["office"]


def test_an_office_is_no_problem_while_it_receives_or_nothing_waits_or_there_is_none() -> None:
    """A fresh receipt, an empty outbox, a first minute, or a site on its own."""
    assert codes(office="connecting", unsent=9, receipt_age=10 * SECOND - 1) == []
    assert codes(office="waiting", unsent=9, receipt_age=15 * SECOND - 1) == []
    assert codes(office="connected", unsent=0, receipt_age=SECOND, nobody=True) == []
    assert codes(office="connecting", unsent=0, receipt_age=None) == []
    assert codes(office="connecting", unsent=9, receipt_age=None, uptime=MINUTE) == []
    assert codes(office="none", unsent=9_000, receipt_age=None) == []


def test_an_office_that_is_known_to_be_away_is_a_problem_sooner() -> None:
    """Not connected for 10 s, or the broker says that nobody listens: no need to wait for receipts."""
    assert codes(office="connecting", unsent=1, receipt_age=10 * SECOND) == ["office"]
    assert codes(office="connected", unsent=1, receipt_age=SECOND, nobody=True) == ["office"]


def test_a_revoked_site_is_told_so_at_once_with_the_way_back() -> None:
    """Whatever waits: the reason and the remedy, once."""
    [found] = problems(facts(office="connecting", receipt_age=SECOND, unsent=9, revoked=True))
    assert (found.code, found.hint) == ("office", "sk join CODE")
    assert "revoked" in found.message
