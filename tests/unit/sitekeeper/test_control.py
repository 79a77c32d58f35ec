"""The local protocol: what is a request, what is a reply, and what is neither."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitekeeper.control import (
    MAX_LINE,
    BadRequest,
    ControlError,
    Problem,
    encode_end,
    encode_item,
    encode_request,
    operation_of,
    parse_request,
    problem_of,
    read_reply,
    role_of,
)
from sitekeeper.model.errors import NotFound, Refused, StorageError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(max_size=20), st.dictionaries(st.text(max_size=8), PLAIN, max_size=3))
def test_a_request_is_one_line_and_comes_back_the_same(op, args):
    """Whatever is asked: one newline, at the end, and the same request on the other side."""
    line = encode_request(op, args)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    parsed = parse_request(line)
    assert (parsed.v, parsed.op, parsed.args) == (1, op, args)


@given(st.lists(PLAIN, max_size=4))
def test_a_reply_gives_its_items_and_ends(items):
    """Items come in order, each on a line of its own, and nothing after the end line is read."""
    lines = [encode_item(item) for item in items] + [encode_end(), b"garbage"]
    assert all(line.count(b"\n") == 1 for line in lines[:-1])
    assert list(read_reply(iter(lines))) == items


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"hello\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"null\n",
        b"{}\n",
        b'{"v": 1}\n',
        b'{"v": 1, "op": 7}\n',
        b'{"v": 1, "op": "status", "args": []}\n',
        b'{"v": 1, "op": "status", "more": 1}\n',
        b'{"v": "1", "op": "status"}\n',
        b'{"v": 1, "op": "status", "args": {"a": NaN}}\n',
        b'{"v": 1, "op": "status", "args": {}} {}\n',
        b'{"v": 1, "op": "x", "args": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}\n",
    ],
)
def test_what_is_no_request_is_refused(line):
    """Garbage, half a request, a field too many, nesting without end: one named error."""
    with pytest.raises(BadRequest, match="not a request"):
        parse_request(line)


def test_another_version_is_named_with_ours():
    """Both numbers are in the message."""
    with pytest.raises(BadRequest, match=r"version 2; this side speaks 1"):
        parse_request(b'{"v": 2, "op": "status"}\n')


def test_the_limit_counts_the_whole_line():
    """A line of exactly the limit passes; one byte more does not."""
    room = MAX_LINE - len(encode_request("x", {"a": ""}))
    assert parse_request(encode_request("x", {"a": "y" * room})).op == "x"
    with pytest.raises(BadRequest, match="the limit is 1048576"):
        parse_request(encode_request("x", {"a": "y" * (room + 1)}))


def test_problems_at_the_end_are_raised_after_the_items():
    """What came before is not lost, and every problem keeps code, sentence and remedy."""
    lines = [encode_item(1), encode_end([Problem("busy", "too many"), Problem("x", "y", "do z")])]
    reply = read_reply(iter(lines))
    assert next(reply) == 1
    with pytest.raises(ControlError, match="too many; y - do z") as caught:
        next(reply)
    assert [(p.code, p.hint) for p in caught.value.problems] == [("busy", ""), ("x", "do z")]
    assert json.loads(lines[1]) == {
        "ok": False,
        "problems": [{"code": "busy", "message": "too many"}, {"code": "x", "message": "y", "hint": "do z"}],
    }


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [encode_item(1)],
        [b'{"item": 1'],
        [b"HTTP/1.1 400 Bad Request\r\n"],
        [b"\xff\n"],
        [b"7\n"],
        [b"[]\n"],
        [b'{"ok": "yes"}\n'],
        [b"{}\n"],
        [b"[" * 100_000 + b"\n"],
    ],
)
def test_a_reply_that_breaks_off_or_is_none_is_one_named_problem(lines):
    """Whatever is on the other side, the caller gets `closed`, never a traceback and never a silent end."""
    with pytest.raises(ControlError) as caught:
        list(read_reply(iter(lines)))
    assert [problem.code for problem in caught.value.problems] == ["closed"]


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (Refused("site-only", "ask the site"), Problem("site-only", "ask the site")),
        (Refused("site-only"), Problem("site-only", "site-only")),
        (NotFound("no lift 'x'", near=("y",)), Problem("not-found", "no lift 'x'; did you mean y?")),
        (BadRequest("not a request"), Problem("usage", "not a request")),
        (StorageError("disk full"), Problem("failed", "disk full")),
        (TimeoutError("late"), Problem("internal", "TimeoutError: late")),
    ],
)
def test_every_error_is_a_problem_with_a_code(error, found):
    """What may not be, is not there, is no question or failed; and what is a fault of ours says so."""
    assert problem_of(error) == found


def test_an_operation_nobody_knows_is_named_with_its_neighbours():
    """The name in quotes, even an empty one, and those that are spelt alike."""
    assert operation_of("status", {"status": 1}) == 1
    with pytest.raises(NotFound, match=r"no operation 'statsu'; did you mean status\?"):
        operation_of("statsu", {"status": 1, "alarm.list": 2})
    with pytest.raises(NotFound, match=r"no operation ''$"):
        operation_of("", {"status": 1})


def test_the_highest_role_of_the_groups_counts():
    """Groups without a role grant nothing; nobody is less than a viewer."""
    roles = {"techs": "technician", "ops": "operator", "all": "viewer"}
    assert role_of(["ops", "users", "techs", "all"], roles) == "technician"
    assert role_of(["users"], roles) == role_of([], roles) == "viewer"
