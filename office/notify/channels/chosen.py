"""The channels that office.yaml names. Each library is imported here, so that an office imports only what it needs."""

from office.notify.channels import Channel
from office.settings import ChannelSettings, OfficeSettings, WebhookChannel
from sitekeeper.model.clock import Clock


def chosen(settings: OfficeSettings, clock: Clock) -> dict[str, Channel]:
    """Return the channels by id."""
    return {channel.id: _channel(channel, clock) for channel in settings.channels}


def _channel(settings: ChannelSettings, clock: Clock) -> Channel:
    if isinstance(settings, WebhookChannel):
        from office.notify.channels.webhook import Webhook

        return Webhook(settings.url, settings.secret, settings.timeout, clock)
    from office.notify.channels.apprise import Apprise

    return Apprise(settings.url, settings.timeout)
