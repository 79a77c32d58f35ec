"""The very first start of a gateway."""

import shutil
from pathlib import Path

from edge.app import App, Wiring
from edge.outbox import Outbox
from edge.settings import load
from sitekeeper.data import data_path
from sitekeeper.model.clock import ManualClock


async def test_the_account_of_every_group_begins_with_the_first_start(tmp_path: Path) -> None:
    """A gateway that dies before its first block has noted since when it is to be accounted for."""
    shutil.copy(data_path("sites", "one-lift", "site.yaml"), tmp_path / "site.yaml")
    (tmp_path / "state").mkdir()
    site, clock = load(tmp_path), ManualClock()
    app = App(site, clock, Wiring())
    await app.open()
    began = clock.wall()
    clock.advance(5_000_000)
    app.outbox.close()  # without `app.close`, which would account for the time up to now

    outbox = Outbox.open(site.outbox.path, site=site.id, clock=clock)
    until = outbox.state().group_until
    outbox.close()
    assert until == {group.id: began for group in site.groups}
