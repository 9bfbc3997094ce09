"""OAuth clients: programs that people let act for them, or that act for their organisation."""
