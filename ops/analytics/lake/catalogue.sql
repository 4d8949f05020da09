-- A moment is a position in the log (an integer), a time, or the name of a backup of this history.

CREATE OR REPLACE MACRO is_position(moment) AS regexp_full_match(CAST(moment AS VARCHAR), '[0-9]+');

-- A time as milliseconds since the epoch, UTC; NULL if the text is no time. A time without a zone is in UTC, or in the
-- zone that was asked for, whatever zone the session has. A cast to TIMESTAMP would ignore a zone in the text, so the
-- text is searched for one.
CREATE OR REPLACE MACRO milliseconds_of(moment) AS
  CASE
    WHEN is_position(moment) THEN NULL
    WHEN regexp_matches(CAST(moment AS VARCHAR), ':[0-9.]+ ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$')
      THEN epoch_ms(TRY_CAST(CAST(moment AS VARCHAR) AS TIMESTAMPTZ))
    ELSE epoch_ms(without_zone(CAST(moment AS VARCHAR)))
  END;

-- The error for a moment that this history does not reach: nothing is known of it, and the newest rows would pass for
-- the rows at that moment.
CREATE OR REPLACE MACRO unknown_yet(moment, until) AS
  error('the lake does not know of ' || CAST(moment AS VARCHAR) || ' yet: it ends at ' || CAST(until AS VARCHAR)
    || ' (without a moment, the newest is shown; `hyperpage analytics export` adds what came since)');

-- The last position at a moment, in the history that is shown; 0 before the first event.
CREATE OR REPLACE MACRO position_of(moment) AS
  coalesce(
    CASE
      WHEN NOT is_position(moment) THEN NULL
      WHEN TRY_CAST(CAST(moment AS VARCHAR) AS BIGINT) <= last_position()
        THEN TRY_CAST(CAST(moment AS VARCHAR) AS BIGINT)
      ELSE unknown_yet('position ' || CAST(moment AS VARCHAR), last_position())
    END,
    (SELECT max(s.position) FROM snapshots AS s
      WHERE CAST(moment AS VARCHAR) IN (s.name, s.snapshot) AND s.in_history),
    CASE WHEN milliseconds_of(moment) IS NOT NULL THEN
      (SELECT CASE WHEN milliseconds_of(moment) > h.until THEN unknown_yet(moment, time_of(h.until)) ELSE h.position END
        FROM (
          SELECT greatest(max(recorded_at), last_backup_ms()) AS until,
            coalesce(max(position) FILTER (recorded_at <= milliseconds_of(moment)), 0) AS position
          FROM history_events
        ) AS h)
    END,
    error('no moment of this history: ' || CAST(moment AS VARCHAR)
      || ' (a position, a time such as 2026-11-24T08:15:00Z, or the name of a backup)')
  );
