"""The one exception that means: the input is at fault, and here is what to do."""

_LONGEST = 300  # characters; transformers lists every model that it knows


class InputError(ValueError):
    """Bad input from outside polycal (a file, a config value, a flag).

    The command line prints its message alone, without a traceback; every other
    exception is a defect of polycal and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        """Keep the message on one line, whatever the quoted input holds."""
        super().__init__(join_lines(message))


def join_lines(text: object) -> str:
    """Return a text in one line that every terminal and file can take.

    Paths and the messages of libraries may have more lines, and quoted values half of a
    character (a lone surrogate), which is escaped.
    """
    line = " ".join(map(str.strip, str(text).splitlines()))
    return line.encode("utf-8", "backslashreplace").decode()


def summarise(error: BaseException) -> str:
    """Return a library's exception in one line: type, and start of the message."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
