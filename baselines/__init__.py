"""Methods to compare, one file each, found by name (see bench/methods)."""
