"""`sk doctor`: facts about a gateway in, findings out; one pure file per subject. `facts` asks, `examine` joins."""
