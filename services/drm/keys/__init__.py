"""What people may ask and tell about keys: `reelmesh.drm.v1.KeysService`."""
