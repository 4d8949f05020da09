"""An example, a shop: baskets as a decider, customers as a class of the library `eventsourcing`."""
