"""How a simulated lift is built, and what it has counted before its story begins."""

from dataclasses import dataclass

from sitekeeper.model.clock import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftSettings:
    """How the lift is built.

    Attributes:
        floors: landings above ground, the ground floor included; basements: landings below it.
        rated_speed: m/s; acceleration: m/s2; floor_height: m; rated_load: kg.
        traffic: mean time between two people arriving at some landing; None for nobody but the story's people.
    """

    floors: int = 12
    basements: int = 0
    start_floor: int = 1
    rated_speed: float = 1.6
    acceleration: float = 0.8
    floor_height: float = 3.0
    rated_load: int = 1000
    traffic: Micros | None = None
    run_count: int = 184_220
    run_seconds: int = 2_911 * 3600
    door_cycles: int = 201_447
