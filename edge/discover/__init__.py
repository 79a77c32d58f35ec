"""What `sk discover` does without any site file; its commands, and how they print, are in `edge/cli/discover*.py`.

steps                     what is going to be sent, and how long it takes: said before anything is sent; pure
bacnet, units, topics     what is asked and what the answers mean, pure but for `bacnet`'s conversation
lines                     the conversations with Modbus endpoints and serial lines
machine                   what this machine has: its networks, and who holds a port
"""
