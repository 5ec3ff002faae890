"""Running methods over test sets."""
