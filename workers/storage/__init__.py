"""Files that survive crashes, in folders and object stores: the spool of reports and the shared artifacts."""
