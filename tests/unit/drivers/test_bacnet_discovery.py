"""The frames of a search, byte by byte from the standard, and what is understood of what comes back."""

import pytest

from drivers.bacnet import discovery
from drivers.bacnet.discovery import EVERYWHERE, Heard, Nameless, Outcome, Windows, understand

I_AM = bytes.fromhex("10 00 c4 02 00 04 b0 22 05 c4 91 03 22 01 04")
"""Device 1200, 1476 bytes, no segmentation, vendor 260 (135-2020, annex F.4.1)."""
WHERE = ("10.1.3.20", 47808)


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (discovery.to_all(discovery.who_is()), "81 0b 00 08 01 00 10 08"),
        (discovery.to_all(discovery.who_is(network=EVERYWHERE)), "81 0b 00 0c 01 20 ff ff 00 ff 10 08"),
        (discovery.to_one(discovery.who_is(3, 300)), "81 0a 00 0d 01 00 10 08 09 03 1a 01 2c"),
        (discovery.by_bbmd(discovery.who_is(0, 5, network=7)), "81 09 00 10 01 20 00 07 00 ff 10 08 09 00 19 05"),
        (discovery.register(60), "81 05 00 06 00 3c"),
        (discovery.to_one(discovery.who_are_you(258)), "81 0a 00 11 01 04 00 05 02 0c 0c 02 3f ff ff 19 4b"),
    ],
)
def test_what_is_sent(frame, expected):
    """Each question is the bytes that the standard gives it."""
    assert frame == hexed(expected)


def framed(function: int, content: bytes) -> bytes:
    return bytes([0x81, function]) + (len(content) + 4).to_bytes(2) + content


def test_an_introduction_is_understood_from_wherever_it_comes():
    """Sent to us, to all, forwarded by a BBMD, and through a router: the address is where the device can be asked."""
    plain = Heard(1200, "10.1.3.20:47808", 1476, 3, 260)
    assert understand(framed(0x0A, b"\1\0" + I_AM), WHERE) == plain
    assert understand(framed(0x0B, b"\1\x20\xff\xff\0\xff" + I_AM), WHERE) == plain
    forwarded = framed(0x04, hexed("0a 01 04 14 ba c0") + b"\1\0" + I_AM)
    assert understand(forwarded, WHERE) == Heard(1200, "10.1.4.20:47808", 1476, 3, 260)
    routed = framed(0x0B, hexed("01 28 ff ff 00 00 05 01 0a fe") + I_AM)
    assert understand(routed, WHERE) == Heard(1200, "5:0a@10.1.3.20:47808", 1476, 3, 260)


def test_a_device_that_is_read_instead_says_its_instance():
    """The answer to the wildcard names the device, under the wildcard or under its own instance."""
    for named in ("02 3f ff ff", "02 00 04 b0"):
        ack = hexed(f"01 00 30 01 0c 0c {named} 19 4b 3e c4 02 00 04 b0 3f")
        assert understand(framed(0x0A, ack), WHERE) == Heard(1200, "10.1.3.20:47808")


def test_a_device_that_declines_is_there_all_the_same():
    """An error, a reject or an abort to the read tells that somebody is at that address."""
    for apdu in ("50 03 0c 91 01 91 1f", "60 03 09", "71 03 04"):
        assert understand(framed(0x0A, b"\1\0" + hexed(apdu)), WHERE) == Nameless("10.1.3.20:47808")


def test_a_registration_has_an_outcome():
    """0 is registered, 0x30 is refused."""
    assert understand(hexed("81 00 00 06 00 00"), WHERE) == Outcome(discovery.REGISTERED)
    assert understand(hexed("81 00 00 06 00 30"), WHERE) == Outcome(0x30)


@pytest.mark.parametrize(
    "data",
    [
        "", "81", "82 0a 00 04", "81 0a 00 05", "81 00 00 05 00", "81 04 00 08 0a 01 04 14", "81 0a 00 06 01 80",
        "81 0a 00 06 02 00", "81 0b 00 08 01 28 ff ff", "81 0b 00 0c 01 28 ff ff 00 00 05 00",
        "81 0a 00 0d 01 00 10 00 c4 02 00 04 b0", "81 0a 00 15 01 00 10 00 c4 00 00 04 b0 22 05 c4 91 03 22 01 04",
        "81 0a 00 15 01 00 10 00 c4 02 3f ff ff 22 05 c4 91 03 22 01 04", "81 0a 00 08 01 00 10 08",
        "81 0a 00 09 01 00 30 01 0c", "81 0a 00 0e 01 00 30 01 0c 0c 02 3f ff ff",
    ],
)  # fmt: skip
def test_what_is_no_introduction_is_passed_over(data):
    """Cut off, of another kind, of no device, or the wildcard itself: nobody is made of it."""
    assert understand(hexed(data), WHERE) is None


def search(devices: list[int], room: int, windows: Windows) -> tuple[set[int], int]:
    """Ask windows of `devices`, of whose answers the first `room` arrive; return who was heard, and the worst flood."""
    heard, worst = set[int](), 0
    while (window := windows.next()) is not None:
        answers = [each for each in devices if window[0] <= each <= window[1]]
        worst = max(worst, len(answers))
        heard |= set(answers[:room])
        windows.answered(*window, answers[:room])
    return heard, worst


@pytest.mark.parametrize(
    "devices", [list(range(1000)), [n * n for n in range(1, 900)], [4_194_302 - n for n in range(500)]]
)
def test_a_flood_loses_nobody(devices):
    """Of each flood only 60 answers arrive; the ranges are narrowed until everybody was heard."""
    windows = Windows()
    heard, _ = search(devices, 60, windows)
    assert (heard, windows.cut) == (set(devices), 0)
    assert windows.asked <= len(devices) // 8


def test_few_are_asked_once():
    """With few devices there is one question, and with none too."""
    for devices in ([], [5], list(range(39))):
        windows = Windows()
        assert search(devices, 60, windows)[0] == set(devices)
        assert windows.asked == 1


def test_a_search_is_bounded():
    """It ends where no range is narrow enough for devices of one instance, and where ranges run out, and says so."""
    twins = Windows()
    search([7] * 200, 200, twins)
    assert (twins.cut, twins.asked < 60) == (0, True)
    windows = Windows(most=4)
    search(list(range(1000)), 60, windows)
    assert (windows.asked, windows.cut > 0) == (4, True)


def test_duplicates_are_told_with_their_addresses():
    """The same instance at two addresses is a duplicate; the same device heard twice is not."""
    heard = [
        Heard(7, "10.0.0.1:47808", 480),
        Heard(7, "10.0.0.2:47808"),
        Heard(8, "10.0.0.3:47808", 50),
        Heard(8, "10.0.0.3:47808"),
    ]
    assert discovery.duplicates(heard) == {7: ["10.0.0.1:47808", "10.0.0.2:47808"]}


def test_the_addresses_of_a_range():
    """Hosts only; a single address and a pair are themselves."""
    assert list(discovery.addresses("10.1.3.77", 29)) == [f"10.1.3.{n}" for n in range(73, 79)]
    assert list(discovery.addresses("10.1.3.77", 32)) == ["10.1.3.77"]
    assert list(discovery.addresses("10.1.3.77", 31)) == ["10.1.3.76", "10.1.3.77"]
