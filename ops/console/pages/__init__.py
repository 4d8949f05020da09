"""The console's pages: a module for each, with a template of the same name."""
