"""What a deployment needs beside the program, as `docs/deployment.md` says; `hyperpage files` prints it."""
