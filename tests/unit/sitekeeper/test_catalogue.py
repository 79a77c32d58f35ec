"""A catalogue is consistent, or it does not exist."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitekeeper.catalogue import (
    MAX_BODY,
    MAX_CATALOGUE,
    Catalogue,
    CatalogueDevice,
    CatalogueGroup,
    CataloguePoint,
    CatalogueRule,
    catalogue_hash,
    decode,
    encode,
)
from sitekeeper.frame import seal
from sitekeeper.model.errors import FormatError, FormatTooNew
from tests.golden import CATALOGUE


def test_a_catalogue_comes_back_as_it_was() -> None:
    """Decoding an encoded catalogue gives an equal one, and the same bytes again."""
    data = encode(CATALOGUE)
    assert decode(data) == CATALOGUE
    assert encode(decode(data)) == data


def test_a_catalogues_name_follows_its_content() -> None:
    """Another time zone is another catalogue; the same content in another order of names is not."""
    other = msgspec.structs.replace(CATALOGUE, timezone="Asia/Shanghai")
    turned = msgspec.structs.replace(CATALOGUE, names=dict(reversed(CATALOGUE.names.items())))
    assert catalogue_hash(encode(other)) != catalogue_hash(encode(CATALOGUE))
    assert catalogue_hash(encode(turned)) == catalogue_hash(encode(CATALOGUE))


@pytest.mark.parametrize(
    "change",
    [
        {"points": CATALOGUE.points[::-1]},
        {"points": CATALOGUE.points[:1] * 2},
        {"groups": (CatalogueGroup("lift-b1@1s", "lift-b1", 1),)},
        {"groups": ()},
        {"devices": ()},
        {"points": (CataloguePoint("lift-b1/floor", "lift-a1", "int"),)},
        {"rules": (CatalogueRule("L04", "P2"), CatalogueRule("L01", "P1"))},
    ],
    ids=[
        "unsorted",
        "twice",
        "group of no device",
        "point of no group",
        "no devices",
        "foreign point",
        "rules unsorted",
    ],
)
def test_an_inconsistent_catalogue_is_refused_on_both_sides(change: dict[str, Any]) -> None:
    """Handles are indices of a sorted list, and every reference resolves; else neither side accepts it."""
    broken = msgspec.structs.replace(CATALOGUE, **change)
    with pytest.raises(FormatError):
        encode(broken)
    with pytest.raises(FormatError):
        decode(seal(msgspec.msgpack.encode(broken)))


def test_a_damaged_catalogue_is_refused_or_unchanged() -> None:
    """No single flipped bit gives another catalogue, and no cut end passes."""
    data = bytearray(encode(CATALOGUE))
    for place in range(len(data)):
        with pytest.raises(FormatError):
            decode(bytes(data[:place]))
        data[place] ^= 1 << place % 8
        with suppress(FormatError):
            assert decode(bytes(data)) == CATALOGUE
        data[place] ^= 1 << place % 8


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_refused_in_our_own_words(data: bytes) -> None:
    """Garbage raises FormatError, bare or in a proper envelope."""
    for each in (data, seal(data)):
        with pytest.raises(FormatError):
            decode(each)


def test_newer_versions_bombs_and_giants_are_refused() -> None:
    """The envelope's limits hold for catalogues too."""
    with pytest.raises(FormatTooNew):
        decode(b"\2" + encode(CATALOGUE)[1:])
    with pytest.raises(FormatError, match="would unpack"):
        decode(seal(bytes(MAX_BODY + 1)))
    with pytest.raises(FormatError, match="more than"):
        decode(bytes(MAX_CATALOGUE + 1))


def test_a_newer_field_at_the_end_of_a_row_is_passed_over() -> None:
    """An office of this version reads the catalogue of a newer site that says more of a device."""
    body = msgspec.msgpack.decode(msgspec.msgpack.encode(CATALOGUE))
    body[4][0].append("something new")
    assert decode(seal(msgspec.msgpack.encode(body))) == CATALOGUE


def test_the_largest_site_fits() -> None:
    """20,000 points with names in three languages are within the limit."""
    device = "building-management-controller-0001"
    names = {"en": "Supply air temperature {}", "zh-Hant": "送風溫度 {}", "zh-Hans": "送风温度 {}"}
    group = CatalogueGroup(f"{device}@10s", device, 10)
    points = tuple(
        CataloguePoint(
            f"{device}/point_{n:05}", device, "float", group.id, "°C", names={k: v.format(n) for k, v in names.items()}
        )
        for n in range(20_000)
    )
    site = Catalogue(site="s", groups=(group,), devices=(CatalogueDevice(device, "ahu", "p"),), points=points)
    assert len(encode(site)) < MAX_CATALOGUE
