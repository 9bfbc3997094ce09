"""Where the root key lives: a file, a hardware module (PKCS#11), AWS KMS, or HashiCorp Vault. `choice` takes the one that the settings name."""
