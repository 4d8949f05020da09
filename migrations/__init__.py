"""The shape of the file: numbered SQL with an up and a down, and how a connection to it is opened."""
