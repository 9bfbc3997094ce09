"""Requests of persons about their data (GDPR articles 12 and 15 to 21), and legal holds, which beat erasure."""
