"""A shop, as an example: baskets as a decider, customers as a class of a library."""
