"""The pure domain model: what may happen, and what follows from it. No I/O, no clock, no ids of its own."""
