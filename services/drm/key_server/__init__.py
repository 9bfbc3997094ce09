"""Gives content keys to packagers outside of the mesh: by SPEKE v2, and by the key server API of Shaka Packager."""
