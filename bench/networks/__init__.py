"""Networks on disk and in memory: kinds, checkpoint files, restorers, the registry, downloads."""
