"""What every service is built on. It knows no domain noun and imports no service."""
