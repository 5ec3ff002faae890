"""Networks: kinds, checkpoint files, restorers, registry, downloads."""
