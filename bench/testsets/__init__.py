"""Test sets: recipes, degradations, preparation, and manifests."""
