"""The one base class of every error that a user of this project can cause and mend."""


class AIOPError(Exception):
    """A mistake the user can mend; its text is one line: what is wrong, where, what to do."""
