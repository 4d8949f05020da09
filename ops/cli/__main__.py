"""`python -m ops.cli`, and the program `hyperpage`."""

import gc


def main() -> None:
    """Loads the command line, runs the command, and exits with its code."""
    # Loaded modules stay in memory; collecting garbage among them would take a tenth of a start.
    gc.disable()
    from ops.cli.main import main as carry_out

    gc.freeze()
    gc.enable()
    carry_out()


if __name__ == "__main__":
    main()
