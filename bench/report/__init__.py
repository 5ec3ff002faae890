"""Reports: tables, figures, pages, and published values.

`statistics` and `verdict` do the arithmetic, `tables.table` computes cells, and `tables.layout`
their texts; each module of `renderers` draws these two, so that all formats show the same numbers.
"""
