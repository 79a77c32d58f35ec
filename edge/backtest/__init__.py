"""Rules tried on the record: what they would have decided, against what was decided then.

    record    blocks of the record -> pieces in order of time, for the points of the present site
    exported  the lines of an office's export -> the same
    run       pieces -> what the rules of today decide
    compare   two lists of alarms -> what was added, removed, moved, and how much of it is a nuisance
    gates     that -> which limits it breaks

Everything here is pure: no clock, no file, no socket.
"""
