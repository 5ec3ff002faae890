"""Errors, configuration, validation, files, locks, concurrency. No faces, no tensors."""
