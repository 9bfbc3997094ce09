"""Changes of key-encryption keys: by schedule, on request, and as the first part of an emergency. Viewers notice nothing of it."""
