"""tus 1.0 (https://tus.io/protocols/resumable-upload): resumable uploads for browsers, behind Envoy on a unix socket.

Every request becomes calls to `UploadService`, which knows the uploads and decides; bodies are handed to its intake in blocks as they arrive, so
memory does not grow with the size of a file. It runs in the process of the upload service: whoever takes the bytes in opens its door. Extensions: creation, creation-with-upload, checksum, expiration, termination.
"""
