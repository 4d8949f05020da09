"""Composition and operation: the code that ties the parts together, and the programs that people run."""
