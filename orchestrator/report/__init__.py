"""One HTML page about a store of labels. A section is one file in `sections` and one line in its registry."""
