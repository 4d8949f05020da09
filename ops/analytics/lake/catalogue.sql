-- A moment is a position in the log (an integer), a time, or the name of a backup of this history.

CREATE OR REPLACE MACRO is_position(moment) AS regexp_full_match(CAST(moment AS VARCHAR), '[0-9]+');

-- Milliseconds since the epoch, UTC; NULL for what is no time. One without a zone is meant in UTC, whatever zone
-- the session has. A cast to TIMESTAMP would pass over a zone, so one that is written is looked for.
CREATE OR REPLACE MACRO milliseconds_of(moment) AS
  CASE
    WHEN is_position(moment) THEN NULL
    WHEN regexp_matches(CAST(moment AS VARCHAR), ':[0-9.]+ ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$')
      THEN epoch_ms(TRY_CAST(CAST(moment AS VARCHAR) AS TIMESTAMPTZ))
    ELSE epoch_ms(TRY_CAST(CAST(moment AS VARCHAR) AS TIMESTAMP))
  END;

-- The last position at a moment, in the history that is shown; 0 before the first event.
CREATE OR REPLACE MACRO position_of(moment) AS
  coalesce(
    CASE WHEN is_position(moment) THEN TRY_CAST(CAST(moment AS VARCHAR) AS BIGINT) END,
    (SELECT max(s.position) FROM snapshots AS s
      WHERE CAST(moment AS VARCHAR) IN (s.name, s.snapshot) AND s.in_history),
    CASE WHEN milliseconds_of(moment) IS NOT NULL THEN
      (SELECT coalesce(max(e.position), 0) FROM history_events AS e
        WHERE e.recorded_at <= milliseconds_of(moment))
    END,
    error('no moment of this history: ' || CAST(moment AS VARCHAR)
      || ' (a position, a time such as 2026-11-24T08:15:00Z, or the name of a backup)')
  );
