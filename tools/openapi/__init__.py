"""Describes the REST interface as OpenAPI 3.1, from the contracts and nothing else."""

from tools.openapi.documents import document

__all__ = ["document"]
