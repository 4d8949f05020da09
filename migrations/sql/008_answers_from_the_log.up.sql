-- rows stay
-- Remembered answers are told again from the log where it has all of them: the id of their command, and of its
-- events the last `events` ones up to `position`. Then `answer` is NULL, and so is `command_id`, unless it names an
-- owner. Else `events` is 0. `id_hash` is that of the id without its owner; `number` counts the answers.

ALTER TABLE command_answers RENAME TO whole_answers;

CREATE TABLE command_answers (
  command_id TEXT,
  request_hash BLOB NOT NULL,
  position INTEGER NOT NULL,
  answer TEXT,
  events INTEGER NOT NULL,
  id_hash INTEGER NOT NULL,
  number INTEGER PRIMARY KEY
) STRICT;

INSERT INTO command_answers (command_id, request_hash, position, answer, events, id_hash)
SELECT
  iif(answer IS told AND command_id = of_events, NULL, command_id),
  request_hash,
  position,
  iif(answer IS told, NULL, answer),
  iif(answer IS told, count, 0),
  id_hash(substr(command_id, 1, instr(command_id || char(65533), char(65533)) - 1))
FROM (
  SELECT
    whole.command_id, request_hash, whole.position, answer, last.command_id AS of_events, count,
    '{"command_id":"' || last.command_id || '","stream":"' || stream || '","version":' || version
    || ',"position":' || last.position || ',"timeline":'
    || (SELECT max(timeline) FROM timelines WHERE first_position <= last.position)
    || ',"events":[' || (
      SELECT group_concat('"' || type || '"', ',' ORDER BY position) FROM events
      WHERE position > last.position - count AND position <= last.position
    ) || '],"result":null}' AS told
  FROM (
    SELECT *, iif(json_valid(answer), json_array_length(answer, '$.events'), 0) AS count FROM whole_answers
  ) AS whole
  LEFT JOIN events AS last ON last.position = whole.position AND count > 0
);

DROP TABLE whole_answers;

-- Which answers an id may mean. New answers come into it later, many at a time, in the order of their hashes, so
-- that several of them share a page: `command_ids_made` has the number up to which all of them are in it.
CREATE TABLE command_ids (
  id_hash INTEGER NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (id_hash, number)
) STRICT, WITHOUT ROWID;

INSERT INTO command_ids SELECT id_hash, number FROM command_answers ORDER BY 1, 2;

CREATE TABLE command_ids_made (
  up_to INTEGER NOT NULL
) STRICT;

INSERT INTO command_ids_made SELECT coalesce(max(number), 0) FROM command_answers;
