"""The lift pack against a lift in use: simulator, map, profile and rules together, a reading a second, no sockets."""

from pathlib import Path
from typing import NamedTuple

import pytest

from edge.rules.derives import Derives
from edge.rules.engine import Engine
from edge.settings import Site, load
from simulators.lift import Lift
from simulators.lift_settings import LiftSettings
from simulators.maps import LMON, SP_LIFT_1, Map, decode
from simulators.modbus_face import LmonFace, Monitor, Registers, SpLiftFace
from sitekeeper.model.clock import MINUTE, SECOND
from sitekeeper.model.quality import GOOD
from sitekeeper.model.sample import Sample, Value

SITE = """
site: {{id: quiet, timezone: UTC}}
links: {{l: {{driver: modbus-tcp, host: 10.0.0.1}}}}
devices:
  - id: lift
    profile: {profile}
    link: l
    unit: 1
    asset: {{floors: 12, rated_speed: 1.6}}
    rules: {{L06: {{lowest: -1}}}}
rules: {{packs: [lift]}}
"""


class Kind(NamedTuple):
    profile: str
    meaning: Map
    asked: tuple[int, int, int]
    face: type


SP = Kind("sp-lift-1", SP_LIFT_1, (4, 0, 32), SpLiftFace)
MONITORED = Kind("lift-lmon", LMON, (3, 16, 19), LmonFace)


class Watched:
    """A lift, and the rules that see of it what its profile reads."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        (folder / "site.yaml").write_text(SITE.format(profile=kind.profile))
        self._kind = kind
        self._site: Site = load(folder, environment={})
        self.lift = Lift(LiftSettings(floors=12, basements=1, traffic=20 * SECOND), seed=1)
        self._face = kind.face(self.lift if kind is SP else Monitor(self.lift))
        self._engine = Engine(self._site.rules, state={}, as_of=None, now=0)
        self._derives = Derives(self._site.derivations, state={}, as_of=None, now=0)
        self._handles = {point.name: point.handle for point in self._site.points if point.device == "lift"}
        groups = self._site.devices["lift"].read.groups
        self._measured = {self._site.points[read.handle].name for group in groups for read in group.points}
        self._last: dict[str, Value] = {}
        self._now = 0
        self.raised: list[str] = []
        self._feed([Sample(self._handles["online"], 0, True, GOOD)])

    def run(self, until: int) -> None:
        while self._now < until:
            self._now += SECOND
            reply = self._face.read(*self._kind.asked, self._now)
            assert isinstance(reply, Registers)
            said = decode(self._kind.meaning, reply.first, reply.words)
            self._feed(self._derives.advance(self._now))
            self._feed(self._derives.feed([self._sample(name, said[name]) for name in self._new(said)]))

    def _new(self, said: dict[str, Value]) -> list[str]:
        return [name for name in said if name in self._measured and said[name] != self._last.get(name)]

    def _sample(self, name: str, value: Value) -> Sample:
        self._last[name] = value
        return Sample(self._handles[name], self._now, value, GOOD)

    def _feed(self, samples: list[Sample]) -> None:
        self.raised += [verdict.rule for verdict in self._engine.feed(samples) if verdict.kind == "raise"]


@pytest.mark.parametrize("kind", [SP, MONITORED], ids=lambda kind: kind.profile)
def test_traffic_raises_nothing_and_a_stuck_car_one_alarm(tmp_path: Path, kind: Kind) -> None:
    """Forty minutes with a trip every 15 s raise nothing; a car stuck with two people is an entrapment and no more."""
    watched = Watched(tmp_path, kind)
    watched.run(40 * MINUTE)
    assert watched.lift.run_count > LiftSettings().run_count + 100
    assert watched.raised == []
    watched.lift.stick(2)
    watched.run(45 * MINUTE)
    assert watched.raised == ["L01"]
