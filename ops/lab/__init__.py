"""The lab's findings about this version: `results` reads `results.json`, which `make lab` writes."""
