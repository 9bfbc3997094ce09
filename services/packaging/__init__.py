"""Packaging: owns CMAF sets, their manifests and where they are published.

`package` in `engine` turns renditions and keys into one encrypted set with an HLS and a DASH manifest; it is pure of
gRPC and database.
"""
