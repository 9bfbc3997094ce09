"""tus 1.0 (https://tus.io/protocols/resumable-upload): resumable uploads for browsers, behind Envoy on a unix socket.

Every request becomes calls to `UploadService`, which knows the uploads and decides; bodies are passed on in blocks as they arrive, so
memory does not grow with the size of a file. Extensions: creation, creation-with-upload, checksum, expiration, termination.
"""
