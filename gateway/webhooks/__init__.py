"""Webhooks of payment processors over HTTP: raw deliveries in, the processor's own form of an answer out. What they mean, `payments` knows."""
