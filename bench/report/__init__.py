"""Reports: tables, figures, pages, and published values.

The layers: `statistics` and `verdict` are arithmetic, `tables.table` has the cells, `tables.layout`
the words, and each module of `renderers` draws these two, so that every format shows the same
numbers.
"""
