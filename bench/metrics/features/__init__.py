"""Extractors of image features, and their cache on disk."""
