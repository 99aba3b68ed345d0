"""`python -m polycal VERB ...`, and the command `polycal`."""

import io
import os
import sys


def run() -> None:
    """Run one verb in this process, with the settings that its libraries need."""
    # Where the package itself is found by the working directory, that has to stay.
    found_here = os.path.dirname(os.path.dirname(__file__)) == os.getcwd()
    if not (found_here or sys.flags.safe_path) and sys.path[0] == os.getcwd():
        del sys.path[0]
    # Earlier, a file of the working directory could stand in for these modules.
    from polycal.environment import restart_with_settings

    restart_with_settings(but="PYTHONSAFEPATH" if found_here else "")
    import logging

    from polycal.cli import main

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal without the letters of a study's name shows escapes.
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.raiseExceptions = False  # a log on a full disk gives no tracebacks
    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, str):
            raise
        _write_last_line(f"{end.code}\n")
        sys.exit(1)


def _write_last_line(line: str) -> None:
    """Write why the process ends to its log, or to the terminal if the log is full.

    The workflow's jobs write their standard error into a log, which may be on the disk
    that is full. Their shell keeps the terminal under the number in `TERMINAL`.
    """
    from polycal.environment import TERMINAL

    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except OSError:
        try:
            os.write(int(os.environ[TERMINAL]), line.encode(errors="replace"))
        except (KeyError, ValueError, OSError):
            return


if __name__ == "__main__":
    run()
