"""The steps of connecting to an MQTT broker, each with its own way to fail; see `sk probe mqtt`."""

import asyncio
import os
import secrets
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from edge.probe import mqtt as mqtt_

ALERT_WAIT: Final = 0.3
"""Seconds within which a broker that misses our certificate says so after the handshake (TLS 1.3)."""

_DATES: Final[dict[int, str]] = {9: "its certificate is not valid yet", 10: "its certificate has expired"}
_NAMES: Final = frozenset({62, 64})
"""X509_V_ERR_*: hostname and IP address mismatch."""


class Failed(Exception):
    """A step failed; `code` is stable. `examine` puts it into its report."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code, self.what = code, what


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Where and how to connect. `tls`: encrypted, with `ca` or the system's authorities. Times in seconds."""

    host: str
    port: int
    tls: bool = False
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    topic: str = "#"
    listen: float = 5.0
    timeout: float = 3.0

    def context(self, *, name: bool) -> ssl.SSLContext:
        """Return what a handshake is checked against; `name`: the broker's name too."""
        made = ssl.create_default_context(cafile=self.ca)
        made.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as the gateway does, see `cloud_sync.mqtt_settings`
        made.check_hostname = name
        if self.certificate:
            made.load_cert_chain(self.certificate, self.key)
        return made


@dataclass(slots=True)
class Report:
    """The steps that succeeded, with a detail each; what was heard; the step that failed, if one did."""

    asked: Asked
    steps: dict[str, str] = field(default_factory=dict)
    heard: mqtt_.Heard = field(default_factory=mqtt_.Heard)
    failed: Failed | None = None


async def examine(asked: Asked) -> Report:
    """Take each step in turn; the first that fails ends the probe and is in the report."""
    report = Report(asked)
    try:
        await _resolved(report)
        if asked.tls:
            await _handshakes(report)
        await _conversation(report)
    except Failed as failure:
        report.failed = failure
    return report


async def _resolved(report: Report) -> None:
    asked, loop = report.asked, asyncio.get_running_loop()
    try:
        async with asyncio.timeout(asked.timeout):
            found = await loop.getaddrinfo(asked.host, asked.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise Failed("dns", f"the name {asked.host} was not answered for in time") from None
    except (OSError, UnicodeError) as error:
        raise Failed("dns", f"the name {asked.host} is not known: {_words(error)}") from None
    report.steps["dns"] = str(found[0][4][0])
    _, writer = await _opened(report, None)
    await _closed(writer)
    report.steps["tcp"] = f"port {asked.port}"


async def _opened(report: Report, context: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection; raises Failed for what is wrong below TLS, and ssl.SSLError."""
    asked = report.asked
    try:
        async with asyncio.timeout(asked.timeout):
            return await asyncio.open_connection(
                asked.host, asked.port, ssl=context, server_hostname=asked.host if context else None
            )
    except TimeoutError:
        step = "tls" if context else "tcp"
        raise Failed(step, f"no answer from port {asked.port} within {asked.timeout:g} s") from None
    except ssl.SSLError:
        raise
    except OSError as error:
        if context:
            raise Failed("tls", f"it ended the handshake: {_words(error)}") from None
        raise Failed("tcp", f"port {asked.port}: {_words(error)}") from None


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            await writer.wait_closed()


async def _handshakes(report: Report) -> None:
    """Check chain, dates and name of the broker's certificate one by one, then whether it takes ours."""
    try:
        plain, full = report.asked.context(name=False), report.asked.context(name=True)
    except (OSError, ssl.SSLError) as error:
        raise Failed("tls-files", f"the files given cannot be used: {_words(error)}") from None
    try:
        _, writer = await _opened(report, plain)
    except ssl.SSLError as error:
        raise _chain_or(error, report) from None
    await _closed(writer)
    report.steps |= {"tls-chain": "trusted", "tls-dates": "valid"}
    try:
        reader, writer = await _opened(report, full)
    except ssl.SSLCertVerificationError as error:
        raise Failed("tls-name", f"its certificate is not for {report.asked.host}: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise _alert(error) from None
    report.steps["tls-name"] = report.asked.host
    try:
        async with asyncio.timeout(ALERT_WAIT):
            if await reader.read(1) == b"":
                raise Failed("client-certificate", "it closed the connection after the handshake")
    except TimeoutError:
        report.steps["client-certificate"] = "accepted" if report.asked.certificate else "not asked for"
    except ssl.SSLError as error:
        raise _alert(error) from None
    except OSError as error:
        raise Failed("client-certificate", f"it closed the connection after the handshake: {_words(error)}") from None
    finally:
        await _closed(writer)


def _chain_or(error: ssl.SSLError, report: Report) -> Failed:
    """Return what a handshake failed for that did not look at the name."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return _alert(error)
    if error.verify_code in _DATES:
        report.steps["tls-chain"] = "trusted"
        return Failed("tls-dates", _DATES[error.verify_code])
    if error.verify_code in _NAMES:
        return Failed("tls-name", f"its certificate is not for {report.asked.host}: {error.verify_message}")
    return Failed("tls-chain", f"its certificate is not trusted: {error.verify_message}")


def _alert(error: ssl.SSLError) -> Failed:
    reason = error.reason or str(error)
    if "PROTOCOL" in reason:
        return Failed("tls", f"no version of TLS in common: {_words(error)}")
    if "ALERT" in reason:
        return Failed("client-certificate", f"it does not accept our certificate, or misses one: {_words(error)}")
    return Failed("tls", f"it does not speak TLS: {_words(error)}")


async def _conversation(report: Report) -> None:
    """Connect as a client, subscribe and listen."""
    asked = report.asked
    try:
        reader, writer = await _opened(report, asked.context(name=True) if asked.tls else None)
    except ssl.SSLError as error:
        raise _alert(error) from None
    try:
        await _let_in(report, reader, writer)
        with suppress(TimeoutError):
            async with asyncio.timeout(asked.listen):
                await _listen(report, reader)
        writer.write(mqtt_.DISCONNECT)
    except ssl.SSLError as error:
        raise _alert(error) from None
    except (OSError, asyncio.IncompleteReadError) as error:
        what = _words(error) if isinstance(error, OSError) else "closed"
        raise Failed("closed", f"the broker ended the connection: {what}") from None
    finally:
        await _closed(writer)


async def _let_in(report: Report, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asked = report.asked
    keepalive = int(asked.listen) + 30
    writer.write(mqtt_.connect(f"sk-probe-{secrets.token_hex(4)}", asked.user, asked.password, min(keepalive, 0xFFFF)))
    try:
        async with asyncio.timeout(asked.timeout):
            kind, _, body = await _packet(reader)
            if kind != mqtt_.CONNACK or len(body) != 2:
                raise Failed("mqtt", "what listens there does not answer as an MQTT broker does")
            if body[1]:
                why = mqtt_.REFUSALS.get(body[1], "a code that the standard does not have")
                raise Failed("user" if body[1] in (4, 5) else "mqtt", f"it refused us: {why} (code {body[1]})")
            report.steps["connect"] = "as " + (asked.user or "nobody")
            writer.write(mqtt_.subscribe(asked.topic))
            while kind != mqtt_.SUBACK:  # retained messages may come first
                kind, flags, body = await _packet(reader)
                _take(report, kind, flags, body)
            if body[-1:] == b"\x80":
                raise Failed("subscribe", f"it does not let us subscribe to {asked.topic}")
    except TimeoutError:
        step = "subscribe" if "connect" in report.steps else "mqtt"
        raise Failed(step, f"no answer of a broker within {asked.timeout:g} s") from None
    report.steps["subscribe"] = asked.topic


async def _listen(report: Report, reader: asyncio.StreamReader) -> None:
    while True:
        _take(report, *await _packet(reader))


def _take(report: Report, kind: int, flags: int, body: bytes) -> None:
    message = mqtt_.published(flags, body) if kind == mqtt_.PUBLISH else None
    if message is not None:
        report.heard.take(message)


async def _packet(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Return type, flags and content of the next packet (MQTT 3.1.1, section 2.2)."""
    first = (await reader.readexactly(1))[0]
    length = 0
    for place_ in range(4):
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << 7 * place_
        if not digit & 0x80:
            break
    else:
        raise Failed("mqtt", "what came is not MQTT")
    if length > mqtt_.MOST_BYTES:
        raise Failed("mqtt", f"a packet of {length} bytes: not MQTT, or too much for a probe")
    return first >> 4, first & 0x0F, await reader.readexactly(length)


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    number = error.errno or 0 if isinstance(error, OSError) else 0  # of name look-ups it is negative
    said = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
    return said.lower()
