"""Codes that let watch for nothing, so often and no oftener."""
