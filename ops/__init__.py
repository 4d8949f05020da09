"""Composition and operation: what ties the parts together, and what people run."""
