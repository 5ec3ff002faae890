"""Run methods over test sets."""
