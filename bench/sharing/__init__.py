"""Sharing results: archives, exports, audits, comparison of two results."""
