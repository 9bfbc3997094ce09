"""The stand-in processor: moves no money, for demonstrations and development. Its own process is `tools/stand_in_processor`; this is its adapter."""

from services.payments.processors.stand_in.adapter import NAME, kind

__all__ = ["NAME", "kind"]
