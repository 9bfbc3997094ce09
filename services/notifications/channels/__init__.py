"""Who carries messages: each provider behind the one protocol `services.notifications.domain.Channel`."""
