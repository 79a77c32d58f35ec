"""What may be written for Modbus, and what is said about the rest."""

import pytest
from pydantic import ValidationError

from drivers.modbus.options import ModbusDevice, ModbusPoint, TcpLink
from sitekeeper.model.clock import MS
from tests.fixtures.modbus import bind


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({}, "exactly one of coil, discrete, input, holding is needed, not 0"),
        ({"coil": 1, "input": 2}, "not 2"),
        ({"coil": 1, "type": "int16"}, "a coil is one bit"),
        ({"input": 1, "type": "bool"}, "only by bit: or bool:"),
        ({"input": 1, "type": "string"}, "length belong together"),
        ({"input": 1, "length": 4}, "length belong together"),
        ({"input": 1, "type": "int32", "byte": "high"}, "byte needs type int16 or uint16"),
        ({"input": 1, "type": "float32", "bit": 1}, "bit needs a whole number"),
        ({"coil": 1, "bit": 1}, "bit needs a whole number"),
        ({"input": 1, "bit": 16}, "bit 16 is not in 16 bits"),
        ({"input": 1, "byte": "low", "bit": 8}, "bit 8 is not in 8 bits"),
        ({"input": 1, "type": "float32", "bit_field": "0-3"}, "bit_field needs a whole number"),
        ({"input": 1, "bit_field": "8-16"}, "bit_field 8-16 is not low-high in 16 bits"),
        ({"input": 1, "bit_field": "7-4"}, "bit_field 7-4 is not low-high"),
        ({"input": 1, "bit_field": "4"}, "String should match pattern"),
        ({"input": 1, "bit": 1, "bit_field": "0-3"}, "bit and bit_field exclude each other"),
        ({"holding": 1, "bit_field": "0-3", "write": 6}, "a part of a register cannot be written"),
        ({"input": 1, "bit": 1, "enum": {0: "a"}}, "no enum or bool map"),
        ({"input": 1, "bool": {True: 1, False: 2}, "enum": {0: "a"}}, "exclude each other"),
        ({"input": 1, "bool": {True: 1, False: 1}}, "same raw value"),
        ({"input": 1, "bool": {True: 1}}, "exactly the keys true and false"),
        ({"input": 1, "bool": {"yes": 1, "no": 2}}, "exactly the keys true and false"),
        ({"input": 1, "scale": 0}, "scale 0.0 is no scale"),
        ({"input": 1, "type": "string", "length": 4, "order": "DCBA"}, "reverse order"),
        ({"input": 1, "typ": "int16"}, "Extra inputs"),
        ({"input": True}, "input"),
    ],
)
def test_point_refused(written, says):
    """A point that contradicts itself is refused with what is wrong."""
    with pytest.raises(ValidationError) as refusal:
        ModbusPoint.model_validate(written)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("written", "point_type", "members", "says"),
    [
        ({"input": 1}, "bool", (), "raw values mean true and false"),
        ({"input": 1}, "enum", ("up", "down"), "say by enum:"),
        ({"input": 1, "enum": {0: "upp"}}, "enum", ("up", "down"), "did you mean up?"),
        ({"input": 1, "enum": {0: "sideways"}}, "enum", ("up", "down"), "there are up, down"),
        ({"input": 1, "scale": 0.1}, "int", (), "scale or offset is not"),
        ({"input": 1, "type": "float32"}, "int", (), "type float32 does not give"),
        ({"input": 1, "bit": 1}, "float", (), "type uint16 with bit does not give"),
        ({"coil": 1}, "int", (), "type bool does not give"),
        ({"input": 1}, "text", (), "type string is needed"),
        ({"input": 1, "enum": {70000: "up"}}, "enum", ("up",), "does not fit into 16 bits"),
        ({"coil": 1, "bool": {True: 2, False: 0}}, "bool", (), "does not fit into 1 bit"),
        ({"input": 1, "byte": "low", "invalid": [256]}, "int", (), "does not fit into 8 bits"),
        ({"input": 1, "bit_field": "0-3", "enum": {16: "up"}}, "enum", ("up",), "does not fit into 4 bits"),
        ({"input": 65535, "type": "uint32"}, "int", (), "runs past 65535"),
    ],
)
def test_bind_refused(written, point_type, members, says):
    """Registers that cannot give the class's type are refused when the site is checked, not when it runs."""
    with pytest.raises(ValueError) as refusal:
        bind(written, point_type, members)
    assert says in str(refusal.value)


def test_expression_becomes_an_address():
    """Binding puts the device's parameters into the address and changes nothing else."""
    bound = bind({"holding": "100*n + 6", "scale": 0.5}, "float", n=3)
    assert (bound.table, bound.address, bound.scale) == ("holding", 306, 0.5)


def test_link_and_device():
    """A link needs a host and takes durations in words; a unit beyond 247 other than 255 does not exist."""
    assert TcpLink.model_validate({"host": "10.1.3.41", "timeout": "250ms"}).timeout == 250 * MS
    assert ModbusDevice.model_validate({"unit": 255}).gaps == 0
    for wrong in ({"host": ""}, {"host": "a", "port": 0}, {"host": "a", "timeout": "1ms"}, {"host": "a b"}, {}):
        with pytest.raises(ValidationError):
            TcpLink.model_validate(wrong)
    for unit in (-1, 250, 256):
        with pytest.raises(ValidationError):
            ModbusDevice.model_validate({"unit": unit})
