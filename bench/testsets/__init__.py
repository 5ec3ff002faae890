"""Test sets: recipes, degradations, preparation, and the manifest that vouches for every file."""
