"""How long an uplink waits before it tries again: chance keeps a thousand gateways from coming back at once."""

import asyncio
from random import Random

import pytest

from cloud_sync.session import Session, Will
from cloud_sync.uplink import Uplink, UplinkSettings
from sitekeeper.model.clock import MS, SECOND, SystemClock
from sitekeeper.model.command import Ack
from sitekeeper.model.errors import PeerUnreachable
from tests.unit.cloud_sync.material import SITE, Source


class NoDoor:
    async def acknowledge(self, ack: Ack) -> None:
        raise AssertionError("nobody is there who could acknowledge")


async def test_what_is_away_is_asked_for_less_and_less_often_and_by_chance(monkeypatch: pytest.MonkeyPatch):
    """The wait doubles up to its most; each is by chance between its half and its whole, for each gateway another."""

    async def nobody(will: Will | None = None) -> Session:
        raise PeerUnreachable("broker", "nobody is there")

    settings = UplinkSettings(site=SITE, boot="b1", version="0", catalogue="")
    first, second = [await waits(monkeypatch, Uplink(nobody, Source(), NoDoor(), settings=settings,
                                 clock=SystemClock(), random=Random(seed))) for seed in (1, 2)]  # fmt: skip
    wholes = [500 * MS, SECOND, 2 * SECOND, 4 * SECOND, 4 * SECOND, 4 * SECOND]
    for found in (first, second):
        assert all(whole / 2 <= wait <= whole for wait, whole in zip(found, wholes, strict=True))
        assert found[-1] != found[-2]
    assert all(mine != other for mine, other in zip(first, second, strict=True))


async def waits(monkeypatch: pytest.MonkeyPatch, uplink: Uplink) -> list[int]:
    """Return the first six waits of an uplink that never gets a connection; none of them passes."""
    found: list[int] = []

    async def note(wait: int) -> None:
        found.append(wait)
        if len(found) == 6:
            raise asyncio.CancelledError

    monkeypatch.setattr(uplink, "_back_off", note)
    with pytest.raises(asyncio.CancelledError):
        await uplink.run()
    return found
