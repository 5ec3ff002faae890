"""The public checkpoints of the tables: what is known of each, where it lies, how it is got."""
