"""The gateway daemon: one site, from its devices to what is durable and on its way to the office.

pipeline                      the whole flow on one page; read it first
app, service, logs            the parts put together and owned; what systemd is told; log lines
settings                      a site folder -> frozen values
poller, bus, fieldside        each link as it is read; whose turn it is; its drivers, what may be written, what is fresh
field_memory, pcap            what drivers learned of devices, over restarts; frames as Wireshark reads them
flowside, localside           the flow, and who is told on site, put together out of what the outbox remembers
changes, latest               readings -> changes; the present state
occurrences, lives            the ledger of events: what is new, what is missing; one life of a counter in it
event_records                 what devices told, as it is recorded
salt                          the secret that hides cards in events
rules, alarms                 what rules decide; alarms as they stand
timemachine, backtest         the rules of today on what was recorded
alarm_moves, alarm_deadlines  one move of one alarm; the moves that time makes
drill                         what is raised on some devices for a while is practice
moves                         moves on their way into blocks
recorder, outbox              blocks and coverage; the durable queue and local history
own, watches, announce, clock_watch, losses   what the gateway says of itself: disk, clock, what was lost
own_points, own_reading       the gateway and its links as devices: what rules know of them; where that comes from
muster, muster_call           who may still be inside; made when there is a fire
tables                        local tables, from which fields of events come
officeside, brokers, trust    the office as it is heard: its orders, heads of the audit; ways to brokers; certificates
local                         who on site is told of alarms while the office is away
commands                      the one guarded way to write a point or move an alarm
socket_api, operations, cli   the local door, what can be asked there, and `sk`
health, clock_trust           what the daemon knows of itself, and of its clock
doctor, probe                 what `sk doctor` judges and `sk probe` asks
dump                          a device as it stands, taken away in a file: `sk device dump`
"""
