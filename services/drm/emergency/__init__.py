"""What is done when keys are thought to be stolen: everything that a rotation does, and each affected package is encrypted again with new keys.

Packaging does that when it hears `RepackagingRequested`; as soon as a successor is published the old package's keys are destroyed here, and the
policy service, which hears `ContentKeysRevoked`, ends sessions and licences.
"""
