"""The one guarded way in: whoever wants something of a site, at its terminal or from the office, comes through here.

commander                 all commands of a site: what rules claim and people ask for; begin here
asked, guard, bans        what a person asks; whether it may be; devices that nobody may write
claims, resumed           sixteen priorities; which claims stand after a restart
line, carrying, desk      one point and its task; one write and its read-back; what a line needs
warning                   who must be warned before a light goes off
pairs                     what waits for a second person
told, audit               what came of it, as event and row; the rows of the audit
audit_check, audit_watch  whether the chain of rows is whole; its heads told to the office
alarm_door, orders        moves of alarms; what the office signs
lamp_tests                a plan of tests of emergency lights, as a machine
lamp_shell, lamp_log      all plans at work; the log book of what came of them
"""
