"""SPEKE v2 and Shaka Packager's key server API over HTTP, for packagers outside of the mesh. Speaks the protocols; the DRM service decides."""
