"""Downloads of large files over HTTP: complete, verified and bounded."""
