"""The one error for a mistake in what was asked, as opposed to a fault in the program."""


class RequestError(ValueError):
    """What was asked cannot be done as asked.

    The message says what came and what would fit. Commands print it alone,
    without a traceback, and end with exit code 2.
    """
