"""Pictures made outside of the harness: by programs of others, or handed in by the user."""
