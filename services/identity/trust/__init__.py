"""What servers must know to recognise callers: signing keys, revocations, API keys."""
