"""Results on disk: the schema of a run and the folder that holds it."""
