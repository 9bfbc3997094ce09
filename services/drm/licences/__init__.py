"""Licences of every key system: by whose policy they are issued, how they are granted, and the record of each."""
