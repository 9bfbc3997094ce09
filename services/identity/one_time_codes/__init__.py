"""One-time codes by e-mail and SMS: signing in by one, and proving a phone number by one."""
