"""What people at the centre use: alarms pushed to them, acknowledged by them, told as a story."""
