"""The one exception that means: the input is at fault, and here is what to do."""


class InputError(ValueError):
    """Bad input from outside polycal (a file, a config value, a flag).

    The command line prints its message alone, without a traceback; every other
    exception is a defect of polycal and keeps its traceback.
    """
