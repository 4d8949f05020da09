-- What belongs together, and what caused what, for whoever looks for it. Events that do not say so are not in
-- these, so that they cost nothing. The metadata of other applications in the log need not be JSON.

CREATE INDEX idx_events_correlation_id ON events(metadata ->> '$.correlation_id')
WHERE json_valid(metadata) AND metadata ->> '$.correlation_id' IS NOT NULL;
CREATE INDEX idx_events_causation_id ON events(metadata ->> '$.causation_id')
WHERE json_valid(metadata) AND metadata ->> '$.causation_id' IS NOT NULL;
