"""Licences that only a licensed server of the operator's can make: how it is asked, what it is told, and what becomes of its answer."""
