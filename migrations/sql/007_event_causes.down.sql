DROP INDEX idx_events_causation_id;
DROP INDEX idx_events_correlation_id;
