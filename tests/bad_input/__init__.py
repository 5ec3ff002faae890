"""Bad and untrusted input: a table of cases, by kind of input, and what bench must answer."""
