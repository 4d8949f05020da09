"""Commands about streams on the broker: `hyperpage dlq` (dead_letters) and `hyperpage stream` (stream)."""
