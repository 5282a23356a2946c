"""The base class of every error that a user of this project can cause and fix."""


class AIOPError(Exception):
    """A mistake the user can fix; its text is one line: what is wrong, where, what to do."""
