"""Registry of public checkpoints: records, paths, downloads."""
