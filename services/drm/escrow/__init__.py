"""An escrow of the key-encryption keys: what is left when the root key is lost. Its secret is divided into shares (SLIP-39) that nobody here keeps."""
