"""Storage that survives crashes, in folders and object stores: the spool of reports and the artifacts."""
