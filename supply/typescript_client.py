"""Makes the types of the TypeScript client that follow from the catalogue: `make client`."""

from pathlib import Path

from ops.contract.client_types.typescript import source

TYPES = Path(__file__).parents[1] / "clients/typescript/src/types.ts"


def main() -> None:
    TYPES.write_text(source(), encoding="utf-8")


if __name__ == "__main__":
    main()
