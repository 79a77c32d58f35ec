"""What simulated units say that they are, as bytes and as our own driver takes it."""

import pytest

from drivers.modbus.identity import Identity as Known
from simulators.estate import Estate
from simulators.identity import identify
from simulators.journal import Journal
from simulators.modbus_face import Identity, neutral
from simulators.scenario import PROTOCOLS, Scenario
from sitekeeper.model.clock import ManualClock

LIFT = neutral("sp-lift-1")
LONG = Identity("v" * 150, "p" * 150, "r" * 300)


def listed(*texts: str, first: int = 0) -> str:
    return b"".join(bytes([n, len(t)]) + t.encode() for n, t in enumerate(texts, first)).hex()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("2b 0e 01 00", "2b 0e 01 81 00 00 03" + listed(LIFT.vendor, "sp-lift-1", "1.0")),
        ("2b 0e 01 02", "2b 0e 01 81 00 00 01" + listed("1.0", first=2)),
        ("2b 0e 01 07", "2b 0e 01 81 00 00 03" + listed(LIFT.vendor, "sp-lift-1", "1.0")),
        ("2b 0e 03 00", "2b 0e 03 81 00 00 03" + listed(LIFT.vendor, "sp-lift-1", "1.0")),
        ("2b 0e 04 01", "2b 0e 04 81 00 00 01" + listed("sp-lift-1", first=1)),
        ("2b 0e 04 03", "ab 02"),
        ("2b 0e 05 00", "ab 03"),
        ("2b 0e 00 00", "ab 03"),
        ("2b 0e 01", "ab 03"),
        ("2b 0d 01 00", "ab 01"),
        ("2b", "ab 01"),
        ("11", "11 26 01 ff" + f"{LIFT.vendor} sp-lift-1 1.0".encode().hex()),
        ("11 00", "91 03"),
    ],
)
def test_the_answers_byte_by_byte(asked: str, said: str) -> None:
    """Stream from any object, single access, and exceptions 1 to 3 (MODBUS Application Protocol V1.1b3, 6.13, 6.21)."""
    assert identify(LIFT, bytes.fromhex(asked)).hex() == bytes.fromhex(said).hex()


def test_what_does_not_fit_into_one_answer_follows() -> None:
    """Each answer fits a PDU, says what comes next, and our driver puts them together."""
    known = Known()
    known.opened()
    answers = []
    while (found := known.next(1)) is not None and found[0] == 43:
        answers.append(identify(LONG, b"\x2b" + found[1].data))
        known.answered(answers[-1][2:])
    assert [tuple(answer[4:7]) for answer in answers] == [(0xFF, 1, 1), (0xFF, 2, 1), (0, 0, 1)]
    assert max(map(len, answers)) == 253
    assert {name: len(text) for name, text in known.objects.items()} == {"vendor": 64, "product": 64, "version": 64}
    assert len(identify(LONG, b"\x11")) == 253


def test_who_has_an_identity() -> None:
    """Devices with a map of our own; of the others no document says that they have one, so they refuse."""
    faces = [face for face, protocol in PROTOCOLS.items() if protocol == "modbus"]
    devices = [{"id": f"d-{n}", "unit": n, "face": face} for n, face in enumerate(faces, 1)]
    plan = Scenario.model_validate({"title": "all", "links": [{"id": "all", "devices": devices}]})
    estate = Estate(plan, clock=ManualClock(), journal=Journal.open(None))
    units = estate.servers["all"].units.values()  # type: ignore[union-attr]
    named = {face: unit.face.identity.product for face, unit in zip(faces, units, strict=True) if unit.face.identity}
    assert named == {
        "sp-lift-1": "sp-lift-1",
        "sp-barrier-1": "sp-barrier-1",
        "sp-relay-8": "sp-relay-8",
        "sp-lux-1": "sp-relay-8",
        **dict.fromkeys(("sp-io-16", "sp-io-16-gas", "sp-io-16-water", "sp-io-16-lift"), "sp-io-16"),
    }
