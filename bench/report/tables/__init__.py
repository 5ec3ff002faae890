"""Tables of results: cells, layout, collection from the store, comparison with published values."""
