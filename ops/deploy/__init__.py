"""Files that a deployment needs; see `docs/deployment.md`. `hyperpage files` prints them."""
