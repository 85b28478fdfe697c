"""Messages to people: kinds, wording by language, preferences, quiet hours, channels, and what became of them."""

from wattledger.notices._channels import (
    ChannelBroken,
    ChannelNotFound,
    Outlets,
    installed_channels,
    load_outlets,
    open_channel,
)
from wattledger.notices._delivery import DeliveryRules, Jitter, deliver_due, take_report
from wattledger.notices._kinds import KINDS, Kind, UnknownKind, languages
from wattledger.notices._notices import (
    Delivery,
    DeliveryState,
    Notice,
    deliveries_in,
    deliveries_of,
    notices_of,
    notify,
)
from wattledger.notices._preferences import (
    PreferenceRefused,
    Preferences,
    QuietHours,
    preferences_of,
    set_preferences,
)
from wattledger.notices.ports import (
    Channel,
    ChannelDown,
    ChannelMisconfigured,
    LogChannel,
    Message,
    Report,
    ReportingChannel,
    ReportRefused,
    SendFailed,
    Undeliverable,
)

__all__ = [
    "KINDS",
    "Channel",
    "ChannelBroken",
    "ChannelDown",
    "ChannelMisconfigured",
    "ChannelNotFound",
    "Delivery",
    "DeliveryRules",
    "DeliveryState",
    "Jitter",
    "Kind",
    "LogChannel",
    "Message",
    "Notice",
    "Outlets",
    "PreferenceRefused",
    "Preferences",
    "QuietHours",
    "Report",
    "ReportRefused",
    "ReportingChannel",
    "SendFailed",
    "Undeliverable",
    "UnknownKind",
    "deliver_due",
    "deliveries_in",
    "deliveries_of",
    "installed_channels",
    "languages",
    "load_outlets",
    "notices_of",
    "notify",
    "open_channel",
    "preferences_of",
    "set_preferences",
    "take_report",
]
