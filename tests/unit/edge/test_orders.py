"""S10: what the office may order of a site, and thirty ways of abusing it, each refused and each in the audit."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from msgspec.structs import replace

from cloud_sync.signing import signer, verifier
from edge.alarm_moves import RuleFacts
from edge.alarms import AlarmBook
from edge.commands import audit
from edge.commands.alarm_door import AlarmDoor
from edge.commands.orders import TOLD_AT_ONCE, Orders
from sitekeeper.model.clock import HOUR, MINUTE, MS, SECOND, Micros, Moment
from sitekeeper.model.command import Write
from sitekeeper.order import CONTEXT, MAX_ORDER, VALID_FOR, VERSION, Order, seal
from tests import virtual
from tests.unit.edge.commands_rig import Site, running, verdict

SITE = "tower"
OFFICE, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def verify(signature: bytes, signed: bytes) -> bool:
    """Tell as `cloud_sync.signing.verifier` does, whose own test is below."""
    try:
        OFFICE.public_key().verify(signature, signed)
    except InvalidSignature:
        return False
    return True


class Rig:
    """A site of a door, a barrier and a lamp that takes orders, and an office that has heard its last nonce."""

    def __init__(self, site: Site) -> None:
        self.site, self.wall = site, 0
        self.book = AlarmBook(SITE, "e1", (), {"lift-1/L21": RuleFacts(priority="P3")})
        self.alarm_rows: list[bytes] = []
        self.door = AlarmDoor(self.book, lambda _, row: self.alarm_rows.append(row), self.now, {}, lambda: 1)
        self.orders = self.made()
        self.nonce = self.orders.nonce()
        self.heard = site.clock.monotonic()

    def made(self) -> Orders:
        points = set(self.site.points)
        by_two = {id_ for id_ in points if not id_.startswith("lamp-1/")}
        used = audit.commands(map(audit.encode, self.site.rows))
        return Orders(
            SITE,
            verify,
            self.site.commander.ask,
            self.door,
            self.site.record,
            self.now,
            points=points,
            by_two=by_two,
            used=used,
        )

    def now(self) -> Moment:
        clock = self.site.clock
        return Moment(wall=clock.wall() + self.wall, mono=clock.monotonic(), trusted=True)

    def order(self, **fields: Any) -> Order:
        """Return what an honest office would sign now."""
        wall = self.now().wall
        values = {
            "site": SITE, "target": "gate-1/cmd.open", "value": "true", "lasts": VALID_FOR, "who": "ann",
            "role": "operator", "reason": "ambulance", "second": "bob", "issued": wall, "expires": wall + VALID_FOR,
            "after": self.site.clock.monotonic() - self.heard, "id": "0" * 31 + "1", "nonce": self.nonce,
        }  # fmt: skip
        return Order(**{**values, **fields})

    def sealed(self, **fields: Any) -> bytes:
        return seal(self.order(**fields), OFFICE.sign)

    def refusals(self) -> list[tuple[str, str]]:
        """Return (reason in the audit, reason in the events) of all that was refused."""
        rows = [row.reason for row in self.site.rows if row.outcome == "refused"]
        events = [str(fields["reason"]) for _, fields in self.site.events if fields["outcome"] == "refused"]
        return list(zip(rows, events, strict=True))


def on_rig(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in virtual time on a running site."""

    async def main(*args: Any, **named: Any) -> None:
        async with running(Site()) as site:
            await test(Rig(site), *args, **named)

    @wraps(test)
    def run(*args: Any, **named: Any) -> None:
        virtual.run(main(*args, **named), limit=24 * HOUR)

    _, *others = inspect.signature(test).parameters.values()
    run.__signature__ = inspect.Signature(others)  # type: ignore[attr-defined]
    return run


async def settled() -> None:
    await asyncio.sleep(6)


def signed(body: bytes) -> bytes:
    return VERSION + OFFICE.sign(CONTEXT + body) + body


def replayed(rig: Rig) -> bytes:
    """The same order once more, after it was done."""
    sealed = rig.sealed()
    rig.orders.take(sealed, retained=False)
    return sealed


def reordered(rig: Rig) -> bytes:
    """One from before the latest two statuses, after newer ones."""
    old = rig.sealed(id="a" * 32)
    rig.orders.nonce()
    rig.orders.nonce()
    return old


def restarted(rig: Rig) -> bytes:
    """One that was done, after a restart that has forgotten all nonces."""
    sealed = replayed(rig)
    rig.orders = rig.made()
    return sealed


def bent(rig: Rig, where: int) -> bytes:
    sealed = bytearray(rig.sealed())
    sealed[where] ^= 1
    return bytes(sealed)


def without_context(rig: Rig) -> bytes:
    """As anything else that the key might ever sign."""
    body = rig.sealed()[65:]
    return VERSION + OFFICE.sign(body) + body


def burning(rig: Rig) -> bytes:
    rig.site.commander.decided([verdict("raise", Write("gate-1", "hold_open", True, 1))])
    return rig.sealed()


def offline(rig: Rig) -> bytes:
    rig.site.set(**{"gate-1/online": False})
    return rig.sealed()


Case = Callable[[Rig], bytes]
ABUSES: dict[str, tuple[str, Case]] = {
    "replay": ("replayed", replayed),
    "replay after a restart": ("bad-nonce", restarted),
    "reordered behind newer statuses": ("bad-nonce", reordered),
    "a nonce that was never said": ("bad-nonce", lambda rig: rig.sealed(nonce="0" * 16)),
    "late by the office's own count": ("expired", lambda rig: rig.sealed(after=-11 * SECOND)),
    "signed before its nonce was heard": ("expired", lambda rig: rig.sealed(after=HOUR)),
    "signed as if before the nonce": ("expired", lambda rig: rig.sealed(after=-1)),
    "another site": ("wrong-site", lambda rig: rig.sealed(site="other")),
    "another key": ("bad-signature", lambda rig: seal(rig.order(), STRANGER.sign)),
    "no signature": ("bad-signature", lambda rig: VERSION + bytes(64) + rig.sealed()[65:]),
    "signed without its context": ("bad-signature", without_context),
    "a bit of the body": ("bad-signature", lambda rig: bent(rig, 90)),
    "a bit of the signature": ("bad-signature", lambda rig: bent(rig, 10)),
    "the last bit": ("bad-signature", lambda rig: bent(rig, -1)),
    "another version": ("malformed", lambda rig: b"\x02" + rig.sealed()[1:]),
    "cut short": ("bad-signature", lambda rig: rig.sealed()[:-1]),
    "something behind it": ("bad-signature", lambda rig: rig.sealed() + b"\x00"),
    "empty": ("malformed", lambda rig: b""),
    "huge": ("too-large", lambda rig: rig.sealed() + bytes(MAX_ORDER)),
    "signed nonsense": ("malformed", lambda rig: signed(b"\xff" * 40)),
    "signed, too few fields": ("malformed", lambda rig: signed(b"\x91\xa5tower")),
    "signed, a field too many": ("malformed", lambda rig: signed(b"\x9e" + rig.sealed()[66:] + b"\xc0")),
    "signed, in another form": ("malformed", lambda rig: signed(b"\xdc\x00\x0d" + rig.sealed()[66:])),
    "a number where a text belongs": ("malformed", lambda rig: rig.sealed(value=1)),
    "a name like a rule's": ("malformed", lambda rig: rig.sealed(who="fire-1/F01")),
    "a role that only a site gives": ("malformed", lambda rig: rig.sealed(role="engineer")),
    "for no time at all": ("malformed", lambda rig: rig.sealed(lasts=0)),
    "for ever": ("bad-expiry", lambda rig: rig.sealed(lasts=13 * HOUR)),
    "a viewer": ("not-permitted", lambda rig: rig.sealed(role="viewer")),
    "no second person": ("second-needed", lambda rig: rig.sealed(second="")),
    "one person twice": ("second-needed", lambda rig: rig.sealed(second="ann")),
    "one person, written otherwise": ("second-needed", lambda rig: rig.sealed(second="Ann\n")),
    "out of range": ("bad-value", lambda rig: rig.sealed(target="lamp-1/command", value="101")),
    "of another type": ("bad-value", lambda rig: rig.sealed(value="yes")),
    "not on the allow-list": ("bad-value", lambda rig: rig.sealed(target="door-1/mode", value="locked")),
    "a point that is only read": ("not-writable", lambda rig: rig.sealed(target="gate-1/lane.state", value="open")),
    "no such point": ("no-such-point", lambda rig: rig.sealed(target="gate-9/cmd.open")),
    "what needs eyes on the place": ("site-only", lambda rig: rig.sealed(target="gate-1/cmd.close")),
    "while fire holds the device": ("life-safety", burning),
    "a device that is away": ("device-offline", offline),
}  # fmt: skip


@pytest.mark.parametrize(("expected", "abuse"), ABUSES.values(), ids=list(ABUSES))
@on_rig
async def test_each_abuse_is_refused_and_audited(rig: Rig, expected: str, abuse: Case) -> None:
    """Nothing is written by it; audit and event name the reason; the honest order after it is carried out."""
    site = rig.site
    payload = abuse(rig)
    await settled()
    before, written = rig.refusals(), len(site.writes)
    rig.orders.take(payload, retained=False)
    await settled()
    assert rig.refusals() == [*before, (expected, expected)]
    assert len(site.writes) == written
    if expected in ("life-safety", "device-offline"):
        return
    rig.nonce, rig.heard = rig.orders.nonce(), site.clock.monotonic()
    rig.orders.take(rig.sealed(id="f" * 32, target="lamp-1/command", value="50"), retained=False)
    await settled()
    assert (site.rows[-1].outcome, site.rows[-1].ack_id) == ("confirmed", "f" * 32)


@on_rig
async def test_what_the_broker_kept_is_no_order(rig: Rig) -> None:
    """A good order that comes as a retained message is refused, and is still good when it comes by itself."""
    site = rig.site
    rig.orders.take(rig.sealed(), retained=True)
    assert rig.refusals() == [("retained", "retained")]
    rig.orders.take(rig.sealed(), retained=False)
    await settled()
    assert site.writes == [("gate-1/cmd.open", True, 8)]


@pytest.mark.parametrize(("step", "wait", "outcome"), [
    (-HOUR, 11 * SECOND, "expired"), (-HOUR, 9 * SECOND, "confirmed"), (HOUR, 0, "confirmed"),
    (HOUR, 9 * SECOND, "confirmed"),
    (0, 10 * SECOND + MS, "expired"), (0, 9 * SECOND, "confirmed"),
])  # fmt: skip
@on_rig
async def test_an_order_lives_ten_seconds_of_the_sites_own_monotonic_clock(
    rig: Rig, step: Micros, wait: Micros, outcome: str
) -> None:
    """However the wall clock is set meanwhile, and however long its nonce was known before it was signed."""
    site = rig.site
    await asyncio.sleep(7)  # the office had the nonce for so long
    sealed = rig.sealed(target="lamp-1/command", value="50")
    rig.wall = step
    await asyncio.sleep(wait / SECOND)
    rig.orders.take(sealed, retained=False)
    await settled()
    assert outcome in (site.rows[-1].outcome, site.rows[-1].reason)


@on_rig
async def test_an_order_stays_used_over_a_restart(rig: Rig) -> None:
    """The audit remembers its id, though the new process would take its nonce."""
    rig.orders.take(rig.sealed(), retained=False)
    await settled()
    rig.orders = rig.made()
    rig.nonce, rig.heard = rig.orders.nonce(), rig.site.clock.monotonic()
    rig.orders.take(rig.sealed(), retained=False)
    assert rig.refusals() == [("replayed", "replayed")]


@on_rig
async def test_who_asked_and_who_agreed_stand_in_the_audit(rig: Rig) -> None:
    """With role and origin; the events quote the order's id, so that the office knows what came of it."""
    site = rig.site
    rig.orders.take(rig.sealed(role="admin"), retained=False)
    await settled()
    assert [(row.user, row.role, row.origin, row.outcome) for row in site.rows] == [
        ("ann", "operator", "office", "accepted"), ("ann", "operator", "office", "confirmed"),
    ]  # fmt: skip
    assert site.rows[0].note == "ambulance (bob agreed)"
    assert {fields["id"] for _, fields in site.events} == {"0" * 31 + "1"}


@on_rig
async def test_a_replay_leaves_what_came_of_the_order_itself_alone(rig: Rig) -> None:
    """Told while the order is under way, its refusal does not carry the order's id; nor is it done twice."""
    site = rig.site
    sealed = rig.sealed()
    for _ in range(3):
        rig.orders.take(sealed, retained=False)
    await settled()
    outcomes = [fields["outcome"] for _, fields in site.events if fields["id"]]
    assert (outcomes, len(site.writes)) == (["accepted", "confirmed"], 1)
    assert rig.refusals() == [("replayed", "replayed")] * 2


@on_rig
async def test_a_flood_of_unsigned_orders_costs_a_bounded_number_of_rows(rig: Rig) -> None:
    """A few are told one by one, then one every 10 s that says how many were not; signed ones are told in between."""
    site = rig.site
    for _ in range(5_000):
        rig.orders.take(seal(rig.order(), STRANGER.sign), retained=False)
    assert len(site.rows) == TOLD_AT_ONCE
    rig.orders.take(rig.sealed(site="other"), retained=False)
    assert (site.rows[-1].reason, len(site.rows)) == ("wrong-site", TOLD_AT_ONCE + 1)
    assert site.rows[-1].note.endswith(f"(and {5_000 - TOLD_AT_ONCE} more, not told one by one)")
    rig.orders.take(b"", retained=False)
    await asyncio.sleep(MINUTE / SECOND)
    rig.orders.take(b"", retained=False)
    assert site.rows[-1].note.endswith("(and 1 more, not told one by one)")
    assert rig.orders.counts["refused"] == 5_003


def test_only_the_two_latest_nonces_are_good() -> None:
    """Each status brings a new one; the one before stays good for orders that are on their way."""
    said: list[str] = []
    orders = Orders(
        SITE,
        verify,
        lambda *_: None,
        SimpleNamespace(),
        SimpleNamespace(),
        lambda: Moment(0, 0),
        points=(),
        by_two=(),
        used=(),  # type: ignore[arg-type]
    )
    said = [orders.nonce() for _ in range(3)]
    assert len(set(said)) == 3
    assert list(orders._nonces) == said[1:]


@on_rig
async def test_an_order_shelves_an_alarm_once_and_takes_it_off_again(rig: Rig) -> None:
    """Signed, fresh and single like any order; accepted and confirmed are told; nobody has to agree."""
    shelve = rig.sealed(target="alarms/shelve", value="lift-1/L21", lasts=HOUR, second="", reason="painting")
    rig.orders.take(shelve, retained=False)
    rig.orders.take(shelve, retained=False)
    record = rig.book.record(f"{SITE}/lift-1/L21")
    assert record is not None
    assert (record.state, record.shelved.by, record.shelved.note) == ("E", "ann", "painting")
    assert [(row.target, row.outcome, row.reason) for row in rig.site.rows] == [
        ("alarms/shelve", "accepted", ""), ("alarms/shelve", "confirmed", ""), ("alarms/shelve", "refused", "replayed"),
    ]  # fmt: skip
    assert [audit.decode(row).operation for row in rig.alarm_rows] == ["shelve"]
    for number, target in enumerate(("alarms/comment", "alarms/unshelve"), 2):
        rig.orders.take(rig.sealed(target=target, value="lift-1/L21", id=f"{number:032x}"), retained=False)
    assert rig.book.record(record.key).state == "A"
    assert audit.commands(map(audit.encode, rig.site.rows)).keys() == {f"{n:032x}" for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"lasts": 9 * HOUR}, "too-long"),
        ({"role": "viewer"}, "not-permitted"),
        ({"value": "lift-1/L99"}, "no-such-alarm"),
        ({"target": "alarms/unshelve"}, "not-active"),
        ({"target": "alarms/out"}, "no-such-point"),
        ({"target": "alarms/clear"}, "no-such-point"),
        ({"nonce": "0" * 16}, "bad-nonce"),
    ],
)
@on_rig
async def test_an_order_about_an_alarm_is_refused_like_any_other(rig: Rig, fields: dict[str, Any], reason: str) -> None:
    """By the order's own checks and by the door; what needs somebody on site is no order at all."""
    wanted = {"target": "alarms/shelve", "value": "lift-1/L21", "lasts": HOUR, "second": ""} | fields
    rig.orders.take(rig.sealed(**wanted), retained=False)
    assert rig.refusals() == [(reason, reason)]
    assert rig.book.records() == ()


def test_keys_come_from_files_that_nobody_else_may_read(tmp_path: Path) -> None:
    """What the one signs the other takes, and nothing else; a key that others may read, or put there, is not used."""
    key, public = tmp_path / "command.key", tmp_path / "office-command.pub"
    key.write_bytes(OFFICE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(OFFICE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    key.chmod(0o600)
    check, signature = verifier(public), signer(key)(b"open")
    assert check(signature, b"open")
    assert not check(signature, b"shut")
    assert not check(b"", b"open")
    for wrong in (key, tmp_path / "none"):
        with pytest.raises(Exception, match=str(wrong)):
            verifier(wrong)
    key.chmod(0o640)
    with pytest.raises(Exception, match="chmod 600"):
        signer(key)
    for mode in (0o664, 0o646):
        public.chmod(mode)
        with pytest.raises(Exception, match="chmod 644"):
            verifier(public)


def test_an_order_has_one_form() -> None:
    """Equal orders are equal bytes; any other field gives other bytes."""
    order = Order(SITE, "a/b", "1", 1, "ann", "operator", "why", "", 1, 2, 3, "0" * 32, "n")
    assert seal(order, OFFICE.sign) == seal(replace(order), OFFICE.sign)
    assert seal(order, OFFICE.sign) != seal(replace(order, second="bob"), OFFICE.sign)
