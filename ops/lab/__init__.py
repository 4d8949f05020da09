"""What the lab has found of this version: `results` reads `results.json`, which `make lab` writes."""
