ALTER TABLE command_answers RENAME TO narrow_answers;

CREATE TABLE command_answers (
  command_id TEXT PRIMARY KEY NOT NULL,
  request_hash BLOB NOT NULL,
  position INTEGER NOT NULL,
  answer TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO command_answers
SELECT
  coalesce(narrow.command_id, last.command_id),
  request_hash,
  narrow.position,
  coalesce(
    answer,
    '{"command_id":"' || last.command_id || '","stream":"' || stream || '","version":' || version
    || ',"position":' || last.position || ',"timeline":'
    || (SELECT max(timeline) FROM timelines WHERE first_position <= last.position)
    || ',"events":[' || (
      SELECT group_concat('"' || type || '"', ',' ORDER BY position) FROM events
      WHERE position > last.position - narrow.events AND position <= last.position
    ) || '],"result":null}'
  )
FROM narrow_answers AS narrow
LEFT JOIN events AS last ON last.position = narrow.position AND narrow.events > 0
ORDER BY 1;

DROP TABLE narrow_answers;
DROP TABLE command_ids;
DROP TABLE command_ids_made;
