"""Tests of the records of performers."""
