"""The equipment record of a device: what a rescuer, a maintainer and an inspector need to know."""

import msgspec


class Asset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Static facts about a piece of equipment (domain.md section 2.1, static record). Empty means not stated.

    Attributes:
        rated_speed: m/s. rated_load: kg. express_allowance is not here: it is a rule parameter.
        rescue_phone: number to call for this equipment, shown with every life-safety alarm.
    """

    maker: str = ""
    model: str = ""
    serial: str = ""
    registration: str = ""
    installed: str = ""
    maintainer: str = ""
    rescue_phone: str = ""
    rated_speed: float | None = None
    rated_load: float | None = None
    floors: int | None = None
