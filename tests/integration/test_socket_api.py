"""The local doors of gateway and office over real Unix sockets: who one is, what is no question, where they may be."""

import asyncio
import contextlib
import grp
import json
import os
import pwd
import socket
import stat
from pathlib import Path

import pytest

from edge import socket_api
from edge.cli.client import ask
from office import local_api
from sitekeeper import control
from sitekeeper.audience import SECURITY_GROUP
from sitekeeper.model.command import Actor
from sitekeeper.model.errors import SitekeeperError
from tests.integration.callers import OPERATORS, ROLES, Door, asked, problem, said, shouted

# who one is


async def test_the_caller_is_known_by_peer_credentials(door: Door, tmp_path: Path) -> None:
    """The daemon's own user is an engineer on site, an operator at the office, by the name the system has for him."""
    async with door.serving(tmp_path / "s"):
        [who] = await asked(tmp_path / "s", "whoami", role="engineer", name="root")
    assert who == {"name": pwd.getpwuid(os.getuid()).pw_name, "role": door.own_role, "origin": door.origin}


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with users lee (technician, operator), may (looker, security), and pat: a group of his has no name."""
    names, member = {7001: "lee", 7002: "may", 7003: "pat"}, {"lee": [1, 2, 9], "may": [3, 5, 9], "pat": [1, 404]}
    groups = {1: "lift-ops", 2: "lift-techs", 3: "lift-lookers", 5: SECURITY_GROUP, 9: "users"}
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd((names[uid], "x", uid, 9, "", "/", "/bin/sh")))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((groups[gid], "x", gid, [])))
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: member[name])
    monkeypatch.setattr(os, "getuid", lambda: 7100)


@pytest.mark.parametrize(
    ("uid", "name", "role"),
    [
        (7001, "lee", "technician"),
        (7002, "may", "viewer"),
        (7003, "pat", "operator"),
        (7009, "uid 7009", "viewer"),
        (7100, "uid 7100", "engineer"),
        (0, "uid 0", "engineer"),
    ],
)
def test_groups_give_roles_and_the_highest_counts(users: None, uid: int, name: str, role: str) -> None:
    """A nameless group grants nothing and breaks nothing; so does a nameless user, unless he is root or ourselves."""
    assert socket_api.actor_of(uid, 9, ROLES) == Actor(name=name, role=role, origin="site")


@pytest.mark.parametrize(
    ("uid", "name", "role"),
    [
        (7001, "lee", "operator"),
        (7002, "may", "viewer"),
        (7003, "pat", "operator"),
        (7009, "uid 7009", "viewer"),
        (7100, "uid 7100", "operator"),
        (0, "uid 0", "operator"),
    ],
)
def test_at_the_office_one_group_may_acknowledge(users: None, uid: int, name: str, role: str) -> None:
    """Its members, root and the office's own user; groups and users without a name are no obstacle there either."""
    assert local_api.actor_of(uid, 9, OPERATORS) == Actor(name=name, role=role, origin="office")


@pytest.mark.parametrize(
    ("uid", "gid", "sees"),
    [
        (7001, 9, False),
        (7002, 9, True),
        (7003, 9, False),
        (7009, 9, False),
        (7009, 5, True),
        (7100, 9, False),
        (0, 9, True),
    ],
)
def test_duress_is_for_root_and_one_group_alone(users: None, door: Door, uid: int, gid: int, sees: bool) -> None:
    """Neither an engineer nor the daemon's own user is of security; a user without a name is by his group."""
    assert door.module.sees_security(uid, gid) is sees


async def test_anybody_may_connect_because_the_role_decides(door: Door, tmp_path: Path) -> None:
    """The file's mode lets every user speak; what he may do is another matter."""
    async with door.serving(tmp_path / "s"):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o666


# questions and answers


async def test_items_then_an_end_and_nothing_more(door: Door, tmp_path: Path) -> None:
    """One item is two lines, no item is one line, and then the connection is closed."""
    async with door.serving(tmp_path / "s"):
        lines = (await said(tmp_path / "s", control.encode_request("echo", {"a": "電梯"}))).splitlines()
        assert [json.loads(line) for line in lines] == [{"item": {"a": "電梯"}}, {"ok": True, "problems": []}]
        assert await asked(tmp_path / "s", "none") == []


async def test_the_command_line_s_own_client_speaks_it(door: Door, tmp_path: Path) -> None:
    """`ask` gets the items, and the refusal with its code."""
    async with door.serving(tmp_path / "s"):
        assert await asyncio.to_thread(lambda: list(ask(tmp_path / "s", "echo", {"a": 1}))) == [{"a": 1}]
        with pytest.raises(control.ControlError, match="viewer may not ack"):
            await asyncio.to_thread(lambda: list(ask(tmp_path / "s", "refused")))


@pytest.mark.parametrize(
    ("op", "code", "message"),
    [
        ("refused", "not-permitted", "viewer may not ack"),
        ("missing", "not-found", "no lift 'x'; did you mean y?"),
        ("storage", "failed", "disk full"),
        ("broken", "internal", "ZeroDivisionError"),
        ("late", "internal", "TimeoutError"),
        ("whoam", "not-found", "whoami"),
        ("", "not-found", "no operation ''"),
    ],
)
async def test_every_way_to_fail_is_an_answer(door: Door, tmp_path: Path, op: str, code: str, message: str) -> None:
    """Refusals, what is not there, our own faults: each has its code, and the next caller is served."""
    async with door.serving(tmp_path / "s"):
        found = await problem(tmp_path / "s", control.encode_request(op, {}))
        assert found.code == code
        assert message in found.message
        assert await asked(tmp_path / "s", "echo", a=1) == [{"a": 1}]


@pytest.mark.parametrize(
    "data",
    [b"\n", b"hello\n", b"\x00\xff\xfe\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"{}\n", b"[" * 200_000 + b"\n"],
)
async def test_garbage_is_told_so(door: Door, tmp_path: Path, data: bytes) -> None:
    """Whatever the line, the answer is `usage` and the daemon goes on."""
    async with door.serving(tmp_path / "s"):
        assert (await problem(tmp_path / "s", data)).code == "usage"
        assert await asked(tmp_path / "s", "echo", a=1) == [{"a": 1}]


async def test_a_line_up_to_the_limit_passes_and_a_longer_one_is_refused_with_the_limit(
    door: Door, tmp_path: Path
) -> None:
    """1 MiB, newline included."""
    room = control.MAX_LINE - len(control.encode_request("echo", {"a": ""}))
    async with door.serving(tmp_path / "s"):
        lines = (await said(tmp_path / "s", control.encode_request("echo", {"a": "y" * room}))).splitlines()
        assert json.loads(lines[-1])["ok"]
        assert len(json.loads(lines[0])["item"]["a"]) == room
        for more in (b"x" * (control.MAX_LINE + 10) + b"\n", b"x" * 3_000_000):
            heard = await asyncio.to_thread(shouted, tmp_path / "s", more)
            [found] = json.loads(heard.splitlines()[-1])["problems"]
            assert (found["code"], "1048576" in found["message"]) == ("usage", True)


# the place


async def test_a_socket_file_that_nobody_serves_is_replaced(door: Door, tmp_path: Path) -> None:
    """What a killed daemon leaves behind does not keep the next one from starting."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    async with door.serving(tmp_path / "s"):
        assert await asked(tmp_path / "s", "echo", a=1) == [{"a": 1}]
    assert not (tmp_path / "s").exists()


async def test_a_second_daemon_is_refused_and_the_first_goes_on(door: Door, tmp_path: Path) -> None:
    """The error names the place and the way out."""
    async with door.serving(tmp_path / "s"):
        with pytest.raises(SitekeeperError, match=f"another {door.name} answers there; stop it or .*{door.remedy}"):
            async with door.serving(tmp_path / "s"):
                pass
        assert await asked(tmp_path / "s", "echo", a=1) == [{"a": 1}]


async def test_a_daemon_too_busy_to_take_a_call_counts_as_one(door: Door, tmp_path: Path) -> None:
    """A full queue of callers is no reason to take the socket away from it."""
    with socket.socket(socket.AF_UNIX) as deaf, contextlib.ExitStack() as stack:
        deaf.bind(str(tmp_path / "s"))
        deaf.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(tmp_path / "s"))
        with pytest.raises(SitekeeperError, match=f"another {door.name}"):
            async with door.serving(tmp_path / "s"):
                pass
        assert (tmp_path / "s").is_socket()


async def test_a_file_that_is_no_socket_is_left_alone(door: Door, tmp_path: Path) -> None:
    """A slip in the path of the socket deletes nothing."""
    (tmp_path / "site.yaml").write_text("precious")
    with pytest.raises(SitekeeperError, match=f"cannot listen there .*; .*{door.remedy}"):
        async with door.serving(tmp_path / "site.yaml"):
            pass
    assert (tmp_path / "site.yaml").read_text() == "precious"


@pytest.mark.parametrize("place", ["x" * 120, "file/s"])
async def test_a_place_that_cannot_be_is_told_with_the_remedy(door: Door, tmp_path: Path, place: str) -> None:
    """Too long for a socket, or below a file: one sentence, no traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SitekeeperError, match=f"cannot listen there .*{door.remedy}"):
        async with door.serving(tmp_path / place):
            pass
