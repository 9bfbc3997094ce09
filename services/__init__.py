"""The services of the mesh, and the kit that they are built on."""
