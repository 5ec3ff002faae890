"""Results on disk: schema and folder of a run."""
