"""Devices: what people watch on, each with a key pair that its sessions are bound to."""
