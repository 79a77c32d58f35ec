"""Simulated equipment on real protocols, and the journal of what it truly said. Nothing in production imports this.

behaviour, agenda                        what every device is: a life on a clock that is moved from outside
lift, lift_settings, motion, shaft       a lift, how it is built, its runs and landings
lmon, escalator                          the firmware of a monitor in a lift; an escalator
access, controller, doors                a door; the controller of several; both as a scenario has them
barrier, lane_camera, carpark            a parking lane, its plate camera, a car park
fire, safety                             a fire panel, gas and leak detectors
lighting, dali, relays, daylight         a luminaire, gear on DALI, a circuit of a relay panel, a light sensor
emergency, meter, lift_parts             an emergency luminaire; a meter; drive, controller and contacts of a lift
modbus_face, table_face, light_face, maps how they look over Modbus, and what its words mean for the journal
maker_face, door_face, plant_face        the same of makers' devices: barrier, fire, gas and leak; doors on MQTT; others
frame_server, serial_line                a Modbus server that can be wrong; a serial adapter
replay, replay_bacnet, replay_mqtt       a dump played back, by protocol
identity                                 what a unit says that it is, over Modbus
bacnet_face, bacnet_maps                 how they look over BACnet, and what it means for the journal
bacnet_server, bacnet_stack              a BACnet device; the door to bacpypes3
mqtt_face, mqtt_faults, mqtt_link        a controller on MQTT, what it says when it is wrong; the door to aiomqtt
faults, proxy                            ways of being wrong; the bytes on the way spoilt
scenario, parts, story                   scenario files and what they are made of; how the demo tells one
acts_lift, acts_door, acts_lane          what a scenario may say of a family of devices
acts_light, acts_safety, acts_connection the same
deeds_lift, deeds_lane                   what an act of it does; of a door: doors
deeds_light, deeds_safety                the same
estate, simple, journal, cli             a scenario's devices at work; what they truly said; `sk sim`
demo, stage, broker, phone, tap          `sk demo`; processes, a broker, a telephone, a listener for it and for tests
"""
