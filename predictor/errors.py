"""The base class of every error that a user of this project can cause and fix, and how other errors are quoted."""


class AIOPError(Exception):
    """A mistake the user can fix; its text is one line: what is wrong, where, what to do."""


def one_line(error: BaseException) -> str:
    """Return the text of an error in one line of at most 200 characters, or its kind if it has no text."""
    return " ".join(str(error).split())[:200] or type(error).__name__
