"""`python -m ops.cli`, and the program `hyperpage`."""

import gc


def main() -> None:
    """Loads the command line, runs what it asks for, and exits with its code."""
    # What is loaded stays: to look through it for garbage again and again takes a tenth of a start.
    gc.disable()
    from ops.cli.main import main as carry_out

    gc.freeze()
    gc.enable()
    carry_out()


if __name__ == "__main__":
    main()
