"""What a site does by itself while its office is away: somebody on site is told of alarms until he acknowledges them.

plan       who is told, of what and how: values of the settings
machine    who is told what, when, and how often: pure
standing   what to go on with after a restart
shell      its task: outputs are claims on points, webhooks are posted, everything is recorded
webhook    one signed post
"""
