"""The harness by which face super-resolution is measured."""
