"""What `sk probe` does without any site file; its commands, and how they print, are in `edge/cli/probe*.py`.

place                         what people type for a host and its port
modbus, bacnet, mqtt          what is asked, and what the answers can mean; pure
guess                         which encoding of some registers gives a value; pure
modbus_talk, bacnet_talk, mqtt_steps   the conversations themselves
"""
