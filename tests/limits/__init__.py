"""Tests of the limits service."""
