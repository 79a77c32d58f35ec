"""Accounts, sessions and patience, without a socket."""

import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from office import auth
from office.auth import (
    FREE_TRIES,
    IDLE,
    LONGEST_WAIT,
    SOURCE_FORGET,
    SOURCE_TRIES,
    SOURCE_WAIT,
    Account,
    Sessions,
    Throttle,
    Users,
    matches,
)
from office.console.login import local
from sitekeeper.model.clock import MINUTE, MS, SECOND
from sitekeeper.model.errors import NotFound, Refused, StorageError


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash at a cost that a unit test can pay."""
    monkeypatch.setattr(auth, "COST", (2, 8, 1))


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(tmp_path / "users.json")


def test_a_password_is_known_once_and_kept_only_as_a_hash(users: Users, tmp_path: Path) -> None:
    """The file does not hold the password, and nobody but its owner may read it."""
    password = users.put("admin", "admin")
    assert password not in (tmp_path / "users.json").read_text()
    assert stat.S_IMODE((tmp_path / "users.json").stat().st_mode) == 0o600
    assert matches(users.find("admin"), password)


@pytest.mark.parametrize("wrong", ["", "x", "x" * 10_000])
def test_a_wrong_password_does_not_match(users: Users, wrong: str) -> None:
    """Neither an empty nor an endless one."""
    users.put("admin", "admin")
    assert not matches(users.find("admin"), wrong)


def test_no_password_fits_an_account_that_does_not_exist() -> None:
    """Nor does the one that would give the stand-in's key."""
    assert not matches(None, "")


def test_two_accounts_with_one_password_have_different_hashes(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own salt."""
    monkeypatch.setattr(auth, "new_password", lambda: "same-same-same-same")
    users.put("a", "viewer")
    users.put("b", "viewer")
    assert users.find("a") != users.find("b")


def test_a_change_by_another_process_is_seen_at_once(users: Users, tmp_path: Path) -> None:
    """`sk office user` writes the file; the running office reads it again."""
    users.put("ann", "viewer")
    Users(tmp_path / "users.json").put("ann", "operator")
    account = users.find("ann")
    assert account is not None
    assert account.role == "operator"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "<b>"])
def test_what_is_no_name_is_refused(users: Users, name: str) -> None:
    """A name is letters, digits, dots, underscores and hyphens; of any script."""
    with pytest.raises(Refused):
        users.put(name, "viewer")
    assert users.put("王小明", "viewer")


def test_removing_nobody_says_so(users: Users) -> None:
    """The caller learns that there was no such account."""
    with pytest.raises(NotFound):
        users.remove("ghost")


def test_a_file_that_is_not_ours_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    """A damaged file never counts as one without accounts."""
    (tmp_path / "users.json").write_text("{}x")
    with pytest.raises(StorageError):
        Users(tmp_path / "users.json").all()
    assert (tmp_path / "users.json").read_text() == "{}x"


def test_what_one_process_revokes_another_does_not_restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands at once: the one that revokes waits until the other has written, and then it is gone for good."""
    one, other = Users(tmp_path / "users.json"), Users(tmp_path / "users.json")
    one.add_token("lost", "operator")
    revoking, write = threading.Thread(target=other.revoke_token, args=("lost",)), Users._write

    def meanwhile(self: Users, *content: Any) -> None:
        monkeypatch.setattr(Users, "_write", write)
        revoking.start()
        revoking.join(0.1)
        write(self, *content)

    monkeypatch.setattr(Users, "_write", meanwhile)
    one.add_token("fresh", "viewer")
    revoking.join(5)
    assert set(Users(tmp_path / "users.json").tokens()) == {"fresh"}


def begun(users: Users) -> tuple[Sessions, str]:
    users.put("ann", "operator")
    account = users.find("ann")
    assert account is not None
    sessions = Sessions(users)
    return sessions, sessions.begin("ann", account, 0)


def test_a_session_is_found_by_its_token_alone(users: Users) -> None:
    """Another token, an empty one, or the token's hash find nothing."""
    sessions, token = begun(users)
    found = sessions.find(token, 1)
    assert found is not None
    assert (found.user, found.role) == ("ann", "operator")
    assert sessions.find("", 1) is None
    assert sessions.find(token + "x", 1) is None
    assert all(sessions.find(key, 1) is None for key in list(sessions._sessions))


def test_a_session_ends_when_idle_when_logged_out_and_with_its_password(users: Users) -> None:
    """Each of the ways in which a session ends."""
    sessions, token = begun(users)
    assert sessions.find(token, IDLE) is not None
    assert sessions.find(token, 2 * IDLE + 1) is None
    sessions, token = begun(users)
    sessions.end(token)
    assert sessions.find(token, 1) is None
    sessions, token = begun(users)
    users.put("ann", "operator")
    assert sessions.find(token, 1) is None
    sessions, token = begun(users)
    users.remove("ann")
    assert sessions.find(token, 1) is None


def test_sessions_are_bounded(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the one that was idle longest ends."""
    monkeypatch.setattr(auth, "MAX_SESSIONS", 2)
    sessions, first = begun(users)
    account = users.find("ann")
    assert isinstance(account, Account)
    second = sessions.begin("ann", account, 1)
    sessions.find(first, 2)
    third = sessions.begin("ann", account, 3)
    assert [sessions.find(token, 4) is not None for token in (first, second, third)] == [True, False, True]


def test_guessing_costs_twice_the_wait_each_time_and_only_there() -> None:
    """Five tries are free; then 1 s, 2 s, ... at most five minutes, for this account from this place."""
    throttle, waits = Throttle(), []
    for _ in range(FREE_TRIES + 12):
        throttle.failed("ann", "10.0.0.1", 0)
        waits.append(throttle.wait("ann", "10.0.0.1", 0))
    assert waits[: FREE_TRIES + 2] == [0, 0, 0, 0, SECOND, 2 * SECOND, 4 * SECOND]
    assert waits[-1] == LONGEST_WAIT
    assert throttle.wait("ann", "10.0.0.1", LONGEST_WAIT) == 0
    assert throttle.wait("ann", "10.0.0.2", 0) == throttle.wait("bob", "10.0.0.1", 0) == 0
    throttle.succeeded("ann", "10.0.0.1")
    assert throttle.wait("ann", "10.0.0.1", 0) == 0


def test_patience_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names are tried, as many are remembered as the limit says."""
    monkeypatch.setattr(auth, "MAX_TROUBLED", 10)
    throttle = Throttle()
    for number in range(100):
        throttle.failed(f"n{number}", "s", 0)
    assert len(throttle._failed) == 10


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ("/alarms?state=all", "/alarms?state=all"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("/login?next=/login", "/"),
        ("", "/"),
    ],
)
def test_after_the_login_one_stays_here(wanted: str, goes: str) -> None:
    """The address to go on to is one of ours, whatever was asked."""
    assert local(wanted) == goes


def test_a_token_is_shown_once_kept_as_a_hash_and_worth_its_role_until_revoked(users: Users, tmp_path: Path) -> None:
    """The file does not hold it; accounts stay as they are; the same name is not given twice."""
    password = users.put("ann", "operator")
    token = users.add_token("grafana", "viewer")
    assert token not in (tmp_path / "users.json").read_text()
    found = Users(tmp_path / "users.json").bearer(token)
    assert found is not None
    assert (found.user, found.role, found.bearer) == ("token grafana", "viewer", True)
    assert users.bearer(token[:-1]) is None
    assert users.bearer("") is None
    with pytest.raises(Refused, match="revoke it first"):
        users.add_token("grafana", "admin")
    users.revoke_token("grafana")
    assert users.bearer(token) is None
    assert matches(users.find("ann"), password)
    with pytest.raises(NotFound):
        users.revoke_token("grafana")


def test_one_password_tried_on_many_names_waits_too(users: Users) -> None:
    """Twenty names from one place, then the place waits, half a minute at most; others do not; an hour forgets."""
    throttle = Throttle()
    for number in range(SOURCE_TRIES - 1):
        throttle.failed(f"name-{number}", "10.0.0.9", 0)
        assert throttle.wait("ann", "10.0.0.9", 0) == 0
    throttle.failed("yet-another", "10.0.0.9", 0)
    assert throttle.wait("ann", "10.0.0.9", 0) == SECOND
    assert throttle.wait("ann", "10.0.0.8", 0) == 0
    for _ in range(40):
        throttle.failed("x", "10.0.0.9", 0)
    assert throttle.wait("ann", "10.0.0.9", 0) == SOURCE_WAIT
    later = SOURCE_WAIT + SOURCE_FORGET + 1
    throttle.failed("ann", "10.0.0.9", later)
    assert throttle.wait("bob", "10.0.0.9", later) == 0


def test_an_own_account_does_not_wash_a_place_clean() -> None:
    """Logging in takes back that one try, not those on other names."""
    throttle = Throttle()
    for number in range(SOURCE_TRIES - 1):
        throttle.failed(f"name-{number}", "10.0.0.9", 0)
    throttle.failed("own", "10.0.0.9", 0)
    throttle.succeeded("own", "10.0.0.9")
    throttle.failed("ann", "10.0.0.9", 0)
    assert throttle.wait("bob", "10.0.0.9", 0) == SECOND


@pytest.mark.parametrize("every_ms", [10, 60, 500])
def test_of_a_thousand_tries_a_minute_ten_are_served_and_nobody_else_waits(every_ms: int) -> None:
    """S12: by account and source, in any minute; the account from elsewhere and other accounts from there get in."""
    throttle, served = Throttle(), list[int]()
    for number in range(1_000):
        now = number * every_ms * MS
        if not throttle.wait("ann", "evil", now):
            throttle.failed("ann", "evil", now)
            served.append(now)
        assert throttle.wait("ann", "elsewhere", now) == throttle.wait("bob", "evil", now) == 0
    assert max(sum(start <= at < start + MINUTE for at in served) for start in served) <= 10
    assert len(served) > 5, "nothing was tried"


def test_other_rights_end_a_session(users: Users) -> None:
    """A role or sites that were changed without a new password too; the same again do not."""
    users.put("ann", "operator", ["b", "a"])
    account = users.all()["ann"]
    for changed in (replace(account, role="viewer"), replace(account, sites=("a",)), replace(account, sites=None)):
        sessions = Sessions(users)
        token = sessions.begin("ann", account, 0)
        found = sessions.find(token, 1)
        assert found is not None
        assert (found.sees("a"), found.sees("c")) == (True, False)
        users._write({"ann": changed}, {})
        assert sessions.find(token, 2) is None
        users._write({"ann": account}, {})
        assert sessions.find(token, 3) is None


def test_a_token_sees_its_sites(users: Users) -> None:
    """Those it was made for; without any, all; an empty list none."""
    for name, sites, sees in (
        ("some", ["hq"], (True, False)),
        ("all", None, (True, True)),
        ("none", [], (False, False)),
    ):
        session = users.bearer(users.add_token(name, "viewer", sites))
        assert session is not None
        assert (session.sees("hq"), session.sees("court")) == sees
