"""What people write for Modbus: keys of a link, of a device, and of a profile's point. Checked here, used elsewhere."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from drivers import lookup
from drivers.modbus.address import Table, resolve
from drivers.tls import Tls
from sitekeeper.model.clock import MS, SECOND, Micros
from sitekeeper.profile import Duration, Written, true_and_false

RawType = Literal[
    "bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "string", "bcd16", "bcd32"
]
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]

WORDS: Final[dict[str, int]] = {
    "int16": 1, "uint16": 1, "bcd16": 1,
    "int32": 2, "uint32": 2, "float32": 2, "bcd32": 2,
    "int64": 4, "uint64": 4, "float64": 4,
}  # fmt: skip
"""Registers that a value of each type fills; strings go by their length."""


Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/]+$"), AfterValidator(lookup.host)]
Timeout = Annotated[Duration, Field(ge=10 * MS, le=60 * SECOND)]
Pause = Annotated[Duration, Field(ge=0, le=10 * SECOND)]
Room = Annotated[int, Field(ge=0, le=1 << 20)]


class TcpLink(Written):
    """A Modbus TCP endpoint; one connection, one request at a time.

    Attributes:
        port: left out it is 502, and 802 with tls (MODBUS/TCP Security, 2018).
        timeout: for connecting and for each answer. pause: at least so long from an answer to the next request.
        frames: bytes of memory for the last frames, which `sk bus watch --past` shows; 0: none are kept.
    """

    host: Host
    port: int | None = Field(default=None, ge=1, le=65535)
    tls: Tls | None = None
    timeout: Timeout = SECOND
    pause: Pause = 0
    frames: Room = 0

    @property
    def endpoint(self) -> str:
        return f"{'tls' if self.tls else 'tcp'} {self.host}:{self.port_number}"

    @property
    def port_number(self) -> int:
        return self.port or (802 if self.tls else 502)


class _Serial(Written):
    """What links have whose frames are those of a serial line, on which nothing tells a late answer from a fresh one.

    Attributes:
        quiet: after a request that was not answered rightly, the line must be silent for so long before the next one:
            longer than the slowest unit can be late. pause: at least so long from an answer to the next request.
        echo: the adapter gives back what we send (RS-485 over two wires, receiver always on).
        frames: as of `TcpLink`.
    """

    timeout: Timeout = SECOND
    quiet: Annotated[Duration, Field(ge=20 * MS, le=60 * SECOND)] = SECOND
    pause: Pause = 5 * MS
    echo: bool = False
    frames: Room = 0


class RtuTcpLink(_Serial):
    """Serial frames through a converter that puts them into TCP as they are."""

    host: Host
    port: int = Field(ge=1, le=65535)

    @property
    def endpoint(self) -> str:
        return f"rtu-over-tcp {self.host}:{self.port}"


_AS_NUMBERS: Final = {80.0: "8E1", 800.0: "8E2"}
"""What YAML makes of the framings with even parity where they are not in quotes: 8 times ten, or a hundred."""


def _framing(value: object) -> object:
    return _AS_NUMBERS.get(value, value) if isinstance(value, float) else value


class RtuLink(_Serial):
    """A serial line, which is ours alone while it is open.

    Attributes:
        port: its device file; one below /dev/serial/by-id keeps its name when the adapter is plugged in elsewhere.
        framing: data bits (8 in RTU), parity (None, Even, Odd) and stop bits. The standard's own is 8E1.
    """

    port: Annotated[str, Field(max_length=200, pattern=r"^/\S+$")]
    baudrate: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400] = 19200
    framing: Annotated[str, BeforeValidator(_framing), Field(pattern=r"^8[NEO][12]$")] = "8E1"

    @property
    def endpoint(self) -> str:
        return f"serial {self.port}"

    @property
    def gap(self) -> Micros:
        """Least rest between two frames: 3.5 characters of 11 bits (MODBUS over Serial Line V1.02, 2.5.1.1)."""
        return 77 * SECOND // (2 * self.baudrate)


AnyLink = TcpLink | RtuTcpLink | RtuLink


class ModbusDevice(Written):
    """A unit on the link and what it can take.

    Attributes:
        unit: 1 to 247, or 0 or 255 for the device at the endpoint itself.
        max_registers, max_bits: most that one request may ask for (the protocol's limits: 125 and 2000).
        gaps: a run of at most this many addresses that no point uses may be read along, to save requests. Off by
            default, because reading can have effects (counters that clear, queues that advance).
        pause: at least so long from any answer on the link to the next request to this unit.
        identify: it may be asked what it is (functions 43/14 and 17), once after the link was opened.
    """

    unit: int = Field(ge=0, le=255)
    max_registers: int = Field(default=125, ge=4, le=125)
    max_bits: int = Field(default=2000, ge=1, le=2000)
    gaps: int = Field(default=0, ge=0, le=125)
    pause: Pause = 0
    identify: bool = True

    @model_validator(mode="after")
    def _unit_exists(self) -> Self:
        if 247 < self.unit < 255:
            raise ValueError(f"unit {self.unit} is reserved; units are 1 to 247, 0 or 255")
        return self


class SerialDevice(ModbusDevice):
    """A unit on a serial line: 1 to 247."""

    @model_validator(mode="after")
    def _unit_is_one(self) -> Self:
        if self.unit in {0, 255}:
            raise ValueError(f"unit {self.unit}: units of a serial line are 1 to 247; 0 is all of them at once")
        return self


class ModbusPoint(Written):
    """Where a point lies and how its registers are to be understood.

    Attributes:
        coil, discrete, input, holding: exactly one of them: the zero-based address, or an expression over `with:`.
        type: of the registers; left out it is bool for coils and discrete inputs, uint16 for registers.
        length: of a string, in bytes, two to a register.
        bit: one bit of an integer, 0 the lowest. bit_field: several, `4-7`, as a whole number without sign.
        byte: one byte of a single register.
        order: of the bytes A (highest) to D on the wire. Longer values go by the same idea: CDAB swaps words, BADC
            bytes within words, DCBA both.
        scale, offset: value = raw * scale + offset.
        enum: raw value -> word. bool: raw value of true and of false. Any other raw value is bad.
        invalid: raw values by which the device says that it has none; NaN always does.
        write: the function code by which it may be written: 5 or 15 for a coil, 6 or 16 for holding registers, 22 (mask
            write) for one bit of a holding register. Which device takes which is in its manual.
        rewrite: if the device has no function 22, read the register and write it back with the bit changed. What
            somebody else writes to the register in between is undone, so only where nobody else does.
    """

    coil: int | str | None = None
    discrete: int | str | None = None
    input: int | str | None = None
    holding: int | str | None = None
    type: RawType | None = None
    length: int | None = Field(default=None, ge=1, le=250)
    bit: int | None = Field(default=None, ge=0, le=63)
    bit_field: Annotated[str, Field(pattern=r"^[0-9]{1,2}-[0-9]{1,2}$")] | None = None
    byte: Literal["high", "low"] | None = None
    order: Order = "ABCD"
    scale: float = Field(default=1.0, allow_inf_nan=False)
    offset: float = Field(default=0.0, allow_inf_nan=False)
    enum: dict[int, str] | None = Field(default=None, min_length=1, max_length=256)
    bool_map: Annotated[dict[bool, int] | None, BeforeValidator(true_and_false)] = Field(default=None, alias="bool")
    invalid: tuple[int | float, ...] = Field(default=(), max_length=16, strict=False)
    write: Literal[5, 6, 15, 16, 22] | None = None
    rewrite: bool = False

    @cached_property
    def table(self) -> Table:
        return next(name for name in _TABLES if getattr(self, name) is not None)

    @property
    def address(self) -> int:
        """The address, once resolved."""
        written = getattr(self, self.table)
        assert isinstance(written, int)
        return written

    @property
    def bits(self) -> bool:
        """Whether it lies in a table of single bits."""
        return self.table in {"coil", "discrete"}

    @property
    def raw_type(self) -> RawType:
        """The type of what is on the wire: a bool that lies in a register is read as uint16."""
        if self.bits:
            return "bool"
        return "uint16" if self.type in {None, "bool"} else self.type

    @property
    def field_bits(self) -> tuple[int, int] | None:
        """The lowest and the highest bit of a bit field."""
        if self.bit_field is None:
            return None
        low, high = map(int, self.bit_field.split("-"))
        return low, high

    @cached_property
    def meaning(self) -> str:
        """Everything but its place, as a key: points with the same one are decoded alike."""
        return repr((self.bits, self.model_dump(exclude={"coil", "discrete", "input", "holding", "write", "rewrite"})))

    @property
    def size(self) -> int:
        """How many addresses it fills."""
        if self.bits:
            return 1
        return (self.length + 1) // 2 if self.length else WORDS[self.raw_type]

    def resolved(self, parameters: Mapping[str, int | str]) -> "ModbusPoint":
        """Return the same point with its address as an integer.

        Raises:
            ValueError: no such address.
        """
        written = getattr(self, self.table)
        address = resolve(self.table, written, parameters)
        if address + self.size > 65536:
            raise ValueError(f"{self.table} {address} to {address + self.size - 1} runs past 65535")
        return self if address == written else self.model_copy(update={self.table: address})

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        tables = [name for name in _TABLES if getattr(self, name) is not None]
        if len(tables) != 1:
            raise ValueError(f"exactly one of {', '.join(_TABLES)} is needed, not {len(tables)}")
        for wrong, message in self._faults():
            if wrong:
                raise ValueError(message)
        return self

    def _faults(self) -> list[tuple[Any, str]]:
        raw, bits = self.raw_type, self.bits
        whole = raw.removeprefix("u") in {"int16", "int32", "int64"}
        width = 8 if self.byte else 16 * WORDS.get(raw, 0)
        mapless = self.bit is None and self.bool_map is None
        field = self.field_bits
        return [
            *self._write_faults(),
            (bits and self.type not in {None, "bool"}, f"a {self.table} is one bit: type {self.type} does not fit"),
            (not bits and self.type == "bool" and mapless, "a register is a bool only by bit: or bool:"),
            ((raw == "string") != (self.length is not None), "type string and length belong together"),
            (self.byte and raw not in {"int16", "uint16"}, f"byte needs type int16 or uint16, not {raw}"),
            (self.bit is not None and not whole, f"bit needs a whole number, not {raw}"),
            (self.bit is not None and self.bit >= width, f"bit {self.bit} is not in {width} bits"),
            (self.bit is not None and (self.enum or self.bool_map), "bit gives true and false: no enum or bool map"),
            (field and not whole, f"bit_field needs a whole number, not {raw}"),
            (field and not field[0] < field[1] < width, f"bit_field {self.bit_field} is not low-high in {width} bits"),
            (field and self.bit is not None, "bit and bit_field exclude each other"),
            (self.enum and self.bool_map, "enum and bool exclude each other"),
            (not 1e-12 <= abs(self.scale) <= 1e12, f"scale {self.scale} is no scale"),
            (self.bool_map and len(set(self.bool_map.values())) == 1, "true and false have the same raw value"),
            (raw == "string" and self.order in {"CDAB", "DCBA"}, "a string's registers cannot be in reverse order"),
        ]

    def _write_faults(self) -> list[tuple[Any, str]]:
        if self.write is None:
            return [(self.rewrite, "rewrite: needs write: 22")]
        codes = _WRITES.get(self.table, ())
        what = f"write: {self.write} does not write a {self.table}: it takes {' or '.join(map(str, codes))}"
        a_part = self.bit is not None or self.byte or self.bit_field
        part = "a part of a register cannot be written, for the rest would be written with it"
        mask = "write: 22 changes one bit of one register: it needs bit:, type uint16 or int16, and no byte:"
        one_bit = self.bit is not None and self.raw_type in {"int16", "uint16"} and not self.byte
        whole = f"write: 6 writes one register, and this point fills {self.size}: write: 16"
        return [
            (not codes, f"the table {self.table} can only be read: no write:"),
            (self.write not in codes, what),
            (self.write == 22 and not one_bit, mask),
            (self.write != 22 and a_part, f"{part}: no write: beside bit:, bit_field: or byte:"),
            (self.rewrite and self.write != 22, "rewrite: needs write: 22"),
            (self.write == 6 and self.size > 1, whole),
        ]


_WRITES: Final[dict[Table, tuple[int, ...]]] = {"coil": (5, 15), "holding": (6, 16, 22)}
"""Function codes that write each table (MODBUS Application Protocol V1.1b3, 6.5, 6.6, 6.11, 6.12, 6.16)."""

_TABLES: Final[tuple[Table, ...]] = ("coil", "discrete", "input", "holding")
