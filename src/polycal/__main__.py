"""`python -m polycal VERB ...`, and the command `polycal`."""

from pathlib import Path

from polycal.environment import restart_with_settings


def run() -> None:
    """Run one verb in this process, with the settings that its libraries need."""
    # Where the package itself is found by the working directory, that has to stay.
    found_here = Path.cwd() == Path(__file__).parents[1]
    restart_with_settings(but="PYTHONSAFEPATH" if found_here else "")
    from polycal.cli import main

    main()


if __name__ == "__main__":
    run()
