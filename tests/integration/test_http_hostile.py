"""Hostile questions to the office's HTTP API and console: refused at once and in words, and it goes on as before.

Asked over the wire of a running office. What is asked is made from the API's own description: every path and parameter
with nasty values (11 of them, drawn by a seed; with SITEKEEPER_FULL=1 all), every body, every nasty field. That each
answer is quick is judged by the processor time of this process, in which the office is: a machine or a disk with other
work makes every answer slow, a hostile question only its own. How long one may take by the clock at all is judged too.
"""

import asyncio
import os
import random
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from cloud_sync.memory import MemoryBroker
from office.app import Office
from sitekeeper.model.clock import SECOND, SystemClock
from tests.console_estate import Site, running, site_on, until
from tests.integration.test_console import browser, raised, token
from tests.integration.test_console_api import program

FULL = os.environ.get("SITEKEEPER_FULL") == "1"
QUICK_S: Final = 0.1
PATIENCE_S: Final = 5.0
MOST_MIB: Final = 48.0
"""How much the process may grow over a thousand hostile questions; a leak of their bodies would be more."""
EVIL: Final = "<script>alert(1)</script>"
TEXTS: Final = (
    "", " ", "' OR 1=1 --", '"; DROP TABLE sites; --', EVIL, "=cmd|' /C calc'!A0", "+1+1", "@SUM(1)",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd", "%s%s%n", "${7*7}{{7*7}}", "\x00", "a\x00b", "\r\nSet-Cookie: a=b", "\u202ehq", "ｈｑ",
    "hԛ", "hq\u200b", "HQ", "é" * 300, "A" * 5_000, "NaN", "nan", "Infinity", "-Infinity", "1e400", "-1", "0", "10**9",
    "1000000000", str(2**63), str(-(2**63) - 1), "9" * 5_000, "0x10", "１２３", "²", "1.5", "true", "null", "[]", "{}",
    "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-02-30", "9999-12-31", "0001-01-01", "-5s", "1e9s",
    "999999999999999999d", "0s", "1s", "99999999999999999999999",
)  # fmt: skip
BYTES: Final = (
    "%ED%A0%80",
    "%FF%FE",
    "%C0%AF",
    "%00",
    "%2e%2e%2f%2e%2e%2f",
    "..;/",
    "%25%32%65",
    "%E2%80%AE",
    "%",
    "%zz",
)
"""What is no text at all: half a surrogate pair, bytes that are never UTF-8, too long a slash, and others."""
HERE: Final = random.Random(13)


def some(texts: tuple[str, ...], count: int = 9) -> tuple[str, ...]:
    """Return so many of them, others with each call; all with full counts."""
    return texts if FULL else tuple(HERE.sample(texts, min(count, len(texts))))


TRACES: Final = ("Traceback", 'File "', "sqlite3", "pydantic", "OperationalError", "site-packages")


@asynccontextmanager
async def estate(folder: Path) -> AsyncIterator[tuple[Office, Site, str]]:
    """Run an office with one site that calls its things hostile names, with an alarm and samples."""
    broker = MemoryBroker()
    async with running(folder, broker) as app, site_on(broker, "hq", en=EVIL) as site:
        now = SystemClock().wall()
        await site.samples(now - 60 * SECOND, now, floor=3, load=12.5, door="=cmd|' /C calc'!A0")
        occurrence = await raised(app, site, detail="'; DROP TABLE alarms; --", note=EVIL)
        await until(lambda: bool(app.store.reader.latest("hq")))
        yield app, site, occurrence


def judge(answer: httpx.Response, what: Any, *, refused: bool = False) -> list[str]:
    """Return what is wrong with an answer to a hostile question."""
    wrong = [f"{word} shows" for word in TRACES if word in answer.text]
    if answer.status_code >= 500 or (refused and answer.status_code < 400):
        wrong.append(f"status {answer.status_code}: {answer.text[:200]}")
    if "html" in answer.headers.get("content-type", "") and EVIL in answer.text:
        wrong.append("markup comes back as markup")
    if "set-cookie" in answer.headers and not answer.request.url.path.startswith("/login"):
        wrong.append("a cookie is set")
    if "nosniff" not in answer.headers.get("x-content-type-options", "") and answer.status_code != 400:
        wrong.append("the answer may be taken for something else")
    return [f"{what}: {sentence}" for sentence in wrong]


async def quickly(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> tuple[httpx.Response, list[str]]:
    """Ask, up to six times if it was slow; return the answer, and that it was slow, if it always was."""
    for attempt in range(6):
        answer, worked, took = await _timed(client, method, path, **more)
        if worked < QUICK_S and took < PATIENCE_S:
            return answer, []
        await asyncio.sleep(0.05 * attempt)
    return answer, [f"{method} {path[:80]}: {worked:.3f} s of work, {took:.3f} s"]


async def _timed(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> tuple[httpx.Response, float, float]:
    began, idle = time.perf_counter(), time.process_time()
    answer = await client.request(method, path, **more)
    return answer, time.process_time() - idle, time.perf_counter() - began


def memory_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def operations(told: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (method, path, operation) of an API's description, without the stream, which never ends."""
    return [
        (method.upper(), path, operation)
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
        if path != "/api/v1/stream"
    ]


def fits(path: str, occurrence: str, **nasty: str) -> str:
    """Return a path whose parameters name what is there, but for one."""
    known = {"site": "hq", "device": "lift-a1", "point": "floor", "alarm": occurrence, "command": "a" * 32}
    for name, value in (known | nasty).items():
        path = path.replace("{" + name + "}", value)
    return path


async def test_no_parameter_of_any_route_breaks_it(tmp_path: Path) -> None:
    """Each parameter of each route with each nasty value: an answer below 500 within 100 ms that shows no inside."""
    wrong: list[str] = []
    asked = 0
    async with estate(tmp_path) as (app, _, occurrence), program(app, "admin") as client:
        told = (await client.get("/api/openapi.json")).json()
        for written in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "1970-01-01T00:00:00Z"):  # were 500 once
            for end in ("from", "to"):
                answer = await client.get(f"/api/v1/sites/hq/points/lift-a1/floor/samples?{end}={quote(written)}")
                wrong += judge(answer, (end, written), refused=True)
        for day in ("0001-01-01", "9999-12-31"):
            wrong += judge(await client.get(f"/api/v1/ledger?site=hq&day={day}"), day, refused=True)
        before = memory_mib()
        for method, path, operation in operations(told):
            body = {"json": {}} if method == "POST" else {}
            parameters = [one for one in operation.get("parameters", ()) if one["in"] in {"query", "path"}]
            needed = "".join(f"&{one['name']}=hq" for one in parameters if one["required"] and one["in"] == "query")
            for name, place in ((one["name"], one["in"]) for one in parameters):
                texts = [quote(text, safe="") for text in some(TEXTS) if place != "path" or text]
                for nasty in (*texts, *some(BYTES, 2)):
                    if place == "query":
                        more = needed.replace(f"&{name}=hq", "")
                        url = f"{fits(path, quote(occurrence))}?{name}={nasty}{more}"
                    else:
                        url = fits(path, quote(occurrence), **{name: nasty})
                    answer, slow = await quickly(client, method, url, **body)
                    wrong += judge(answer, (method, url[:120])) + slow
                    asked += 1
        grown = memory_mib() - before
        assert (await client.get("/api/v1/sites/hq")).status_code == 200, "the tables are still there"
        assert occurrence in {alarm["id"] for alarm in (await client.get("/api/v1/alarms")).json()}
    print({"questions": asked, "wrong": len(wrong), "grown_mib": round(grown, 1)})
    assert not wrong, "\n".join(wrong[:60])
    assert asked > 250
    assert grown < MOST_MIB


BODIES: Final[dict[str, bytes]] = {
    "nothing": b"",
    "no JSON": b"note=x",
    "half": b'{"note": "x',
    "100 deep": b'{"note": ' + b"[" * 100 + b"]" * 100 + b"}",
    "30,000 deep": b"[" * 30_000,
    "30,000 deep objects": b'{"a":' * 12_000,
    "NaN": b'{"note": NaN, "value": NaN}',
    "Infinity": b'{"note": Infinity, "value": -Infinity}',
    "1e400": b'{"note": 1e400, "value": 1e400}',
    "5,000 digits": b'{"note": ' + b"9" * 5_000 + b', "value": ' + b"9" * 5_000 + b"}",
    "a key twice": b'{"note": "a", "note": 5, "value": 1, "value": []}',
    "half a surrogate": b'{"note": "\\ud800", "site": "\\udfff", "reason": "\\ud800"}',
    "no UTF-8": b'{"note": "\xff\xfe\xed\xa0\x80"}',
    "UTF-16": '{"note": "x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"note": 1}',
    "a zero": b'{"note": "a\\u0000b", "site": "h\\u0000q"}',
    "a list": b"[]",
    "null": b"null",
    "a number": b"5",
    "wrong types": b'{"note": {"a": []}, "site": 5, "device": [], "point": {}, "value": [], "reason": null}',
    "too long": b'{"note": "' + b"x" * 60_000 + b'", "reason": "' + b"x" * 3_000 + b'"}',
    "60,000 keys": b"{" + b",".join(b'"%d":0' % n for n in range(6_000)) + b"}",
    "prototype": b'{"__proto__": {"role": "admin"}, "constructor": {}, "note": []}',
}
KINDS: Final = (
    "application/json", "application/json; charset=utf-7", "text/plain", "application/x-www-form-urlencoded",
    "multipart/form-data", "multipart/form-data; boundary=x", "\x7f/\x7f", "application/json" + ";a=b" * 500,
)  # fmt: skip


def whole_command() -> dict[str, Any]:
    return {"site": "hq", "device": "lift-a1", "point": "floor", "value": 1, "reason": "test"}


async def test_no_body_breaks_a_route_that_takes_one(tmp_path: Path) -> None:
    """Each POST with each nasty body, each kind of content, and each field of a command with each nasty value."""
    wrong: list[str] = []
    asked = 0
    async with estate(tmp_path) as (app, _, occurrence), program(app, "admin") as client:
        told = (await client.get("/api/openapi.json")).json()
        paths = [fits(path, quote(occurrence)) for method, path, _ in operations(told) if method == "POST"]
        assert len(paths) >= 3
        before = memory_mib()
        for path in paths:
            for name, body in BODIES.items():
                for kind in KINDS if name in {"no JSON", "100 deep"} else KINDS[:1]:
                    headers = {"Content-Type": kind}
                    answer, slow = await quickly(client, "POST", path, content=body, headers=headers)
                    wrong += judge(answer, ("POST", path, name, kind[:40])) + slow
                    asked += 1
        for field in whole_command():
            for nasty in (*some(TEXTS), None, [], {}, 1e308, -1, True, 10**18, {"$gt": ""}):
                answer, slow = await quickly(client, "POST", "/api/v1/commands", json=whole_command() | {field: nasty})
                wrong += judge(answer, ("command", field, str(nasty)[:40]), refused=True) + slow
                asked += 1
        grown = memory_mib() - before
        assert app.store.reader._rows("SELECT name FROM sqlite_master WHERE name = 'alarms'")
    print({"bodies": asked, "wrong": len(wrong), "grown_mib": round(grown, 1)})
    assert not wrong, "\n".join(wrong[:60])
    assert grown < MOST_MIB


async def test_pages_show_no_markup_and_break_on_nothing(tmp_path: Path) -> None:
    """Pages with nasty paths, queries, forms and languages: below 500, nothing of it comes back as markup."""
    wrong: list[str] = []
    async with estate(tmp_path) as (app, _, occurrence), browser(app, "ann") as client:
        csrf = await token(client)
        paths = ("/sites/{}", "/sites/hq/devices/{}", "/sites/hq/devices/lift-a1/{}", "/alarms/{}", "/static/{}",
                 "/sites/hq/devices/lift-a1/floor?span={}", "/alarms?state={}", "/alarms?site={}", "/alarms?skip={}",
                 "/login?next={}", "/sites?lang={}")  # fmt: skip
        for path in paths:
            for nasty in (*(quote(text, safe="") for text in some(TEXTS) if len(text) < 400), *some(BYTES, 2)):
                answer, slow = await quickly(client, "GET", path.format(nasty))
                wrong += judge(answer, path.format(nasty)) + slow
                assert "root:" not in answer.text
        for nasty in some(TEXTS):
            for form in ({"csrf": csrf, "note": nasty}, {"csrf": nasty, "note": "x"}):
                answer, slow = await quickly(client, "POST", f"/alarms/{quote(occurrence)}/ack", data=form)
                wrong += judge(answer, ("ack", str(form)[:80])) + slow
        for nasty in BYTES:
            raw = f"csrf={nasty}&note={nasty}&next={nasty}&name={nasty}&password={nasty}".encode()
            form_kind = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = await client.post(f"/alarms/{quote(occurrence)}/ack", content=raw, headers=form_kind)
            wrong += judge(answer, ("ack", nasty))
    assert not wrong, "\n".join(wrong[:60])


HEADERS: Final[dict[str, list[tuple[bytes, bytes]]]] = {
    "accept bomb": [(b"Accept", b"text/html;q=0.1," * 3_000)],
    "language bomb": [(b"Accept-Language", b"zh-Hant;q=0.1," * 3_000)],
    "500 headers": [(b"X-%d" % n, b"y") for n in range(500)],
    "cookie bomb": [(b"Cookie", b"; ".join(b"sitekeeper_%d=%s" % (n, b"x" * 20) for n in range(1_000)))],
    "bad cookie": [(b"Cookie", b'sitekeeper="\xff\xfe\\"; a=b; =; ;;')],
    "origin that is no address": [(b"Origin", b"http://[::1")],
    "origin of bytes": [(b"Origin", b"\xff\xfe://\xed\xa0\x80")],
    "length in Arabic": [(b"X-Length", b"\xb2"), (b"Content-Type", b"\xb2")],
    "forwarded": [(b"X-Forwarded-For", b"'; DROP TABLE sites; --"), (b"X-Forwarded-Proto", b"gopher")],
    "range": [(b"Range", b"bytes=0-,0-,0-,0-"), (b"If-None-Match", b'"' * 1_000)],
    "event id": [(b"Last-Event-ID", b"9" * 5_000)],
    "method override": [(b"X-HTTP-Method-Override", b"DELETE")],
}


METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "QUERY")


async def test_no_header_and_no_method_breaks_it(tmp_path: Path) -> None:
    """Bombs, bytes and nonsense in headers, by every method: below 500 and quick, before and after the login."""
    wrong: list[str] = []
    async with estate(tmp_path) as (app, _, _), program(app) as client, browser(app) as nobody:
        for method in METHODS:
            few = method in {"GET", "POST"} or FULL
            for name, headers in HEADERS.items():
                if not few and name not in {"origin that is no address", "500 headers"}:
                    continue
                # A try to log in takes as long as its hash.
                for path in ("/api/v1/sites", "/healthz" if method == "POST" else "/login", "/static/console.js"):
                    caller = HERE.choice((client, nobody))
                    every = [*caller.headers.raw, *headers]
                    answer, slow = await quickly(caller, method, path, headers=every)
                    wrong += judge(answer, (method, path, name)) + slow
    assert not wrong, "\n".join(wrong[:60])


async def test_no_forged_token_opens_anything(tmp_path: Path) -> None:
    """Garbled, empty, huge, unsigned and revoked tokens and cookies, and those of another kind: 401, at once."""
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJhZG1pbiJ9."
    async with estate(tmp_path) as (app, _, _), program(app, "admin") as client, browser(app) as nobody:
        assert app.console is not None
        good = client.headers["Authorization"].partition(" ")[2]
        revoked = app.console.parts.users.add_token("gone", "admin")
        app.console.parts.users.revoke_token("gone")
        digest = app.console.parts.users.tokens()["test-admin"].digest
        forged = [unsigned, "", " ", "null", good[:-1], good + "x", good.upper(), good.swapcase(), digest, revoked,
                  "x" * 60_000, "\xe9\xff", f"{good},{good}", "' OR 1=1 --", good[:20] + "*"]  # fmt: skip
        for one in forged:
            for scheme in ("Bearer ", "bearer  ", "Basic ", "Token ", ""):
                raw = [(b"Authorization", (scheme + one).strip().encode("latin-1")), (b"Host", b"127.0.0.1")]
                began = time.perf_counter()
                answer = await nobody.get("/api/v1/sites", headers=raw)
                assert answer.status_code == 401, (scheme, one[:60])
                assert time.perf_counter() - began < 5 * QUICK_S
                assert good not in answer.text
            for cookie in (one, digest):
                raw = [(b"Cookie", b"sitekeeper=" + cookie.strip().encode("latin-1")), (b"Host", b"127.0.0.1")]
                assert (await nobody.get("/api/v1/sites", headers=raw)).status_code in {400, 401}
        assert (await client.get("/api/v1/sites")).status_code == 200
