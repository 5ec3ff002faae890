"""Results made outside bench: by external programs, or imported by the user."""
