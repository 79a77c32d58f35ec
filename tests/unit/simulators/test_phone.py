"""The telephone's reading of HTTP and of signatures."""

import asyncio
import hashlib
import hmac

import pytest

from simulators.phone import BODY, HEAD, BadRequest, Request, read_request, verify

SECRET = b"a secret of some length"
NOW = 1_780_000_000


def signed(body: bytes, stamp: int = NOW, secret: bytes = SECRET) -> Request:
    mac = hmac.new(secret, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return Request("POST", "/", {"sitekeeper-signature": f"t={stamp},v1={mac}"}, body)


async def fed(content: bytes) -> Request:
    reader = asyncio.StreamReader(limit=HEAD)
    reader.feed_data(content)
    reader.feed_eof()
    return await read_request(reader)


def test_good_signature() -> None:
    """A body signed with the shared secret and a recent time is accepted."""
    assert verify(SECRET, signed(b"{}"), NOW + 299)


@pytest.mark.parametrize(
    "request_",
    [
        signed(b"{}", secret=b"another"),
        signed(b"{}", stamp=NOW - 301),
        Request("POST", "/", {}, b"{}"),
        Request("POST", "/", {"sitekeeper-signature": "t=,v1="}, b"{}"),
        Request("POST", "/", {"sitekeeper-signature": f"t={NOW},v1=\xe9"}, b"{}"),
        Request("POST", "/", signed(b"{}").headers, b"{ }"),
    ],
)
def test_bad_signatures(request_: Request) -> None:
    """Another secret, an old time, a missing or broken header and a changed body are all refused."""
    assert not verify(SECRET, request_, NOW)


async def test_request_is_read() -> None:
    """Method, path, headers in lower case and a body of stated length."""
    request = await fed(b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nSitekeeper-Event-Id: e1\r\n\r\n{}rest")
    assert (request.method, request.path, request.body) == ("POST", "/hook", b"{}")
    assert request.headers["sitekeeper-event-id"] == "e1"


@pytest.mark.parametrize(
    "content",
    [
        b"hello\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY + 1),
        b"POST / HTTP/1.1\r\nA: " + b"x" * HEAD * 2 + b"\r\n\r\n",
    ],
)
async def test_bad_requests(content: bytes) -> None:
    """What is not a small HTTP/1 request with a stated length is refused."""
    with pytest.raises(BadRequest):
        await fed(content)
