"""The defects that faults have found so far, and the limits of the lab: the kept half of docs/reliability.md.

A defect that is mended is added at the end, with the test that failed before. Then `make lab ARGS=--page`
writes the page anew.
"""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Found:
    """A defect: what was `done`, `what` happened, the day on which it was `mended`, and the `test` since.

    `test` is a path in the repository, two colons and the test's name.
    """

    done: str
    what: str
    mended: str
    test: str


FOUND = (
    Found(
        "a disk is full",
        "nats-server's streams took nothing more, also when there was room again, until somebody started it "
        "anew",
        "2026-11-25",
        "tests/faults/ops/service/test_full_disk.py::"
        "test_a_full_disk_refuses_commands_and_all_goes_on_once_there_is_room",
    ),
    Found(
        "the store's file is taken away while the service is down",
        "the next start began a new, empty store",
        "2026-11-26",
        "tests/e2e/ops/backup/test_lost_store.py::test_a_store_that_is_gone_is_not_replaced_by_a_new_one",
    ),
    Found(
        "a durable command takes the process down",
        "it was delivered again after each start, and the service never came up; with the broker's own count "
        "of deliveries, its neighbours were blamed, too",
        "2026-11-29",
        "tests/faults/bus/serving/test_poison.py::"
        "test_a_command_that_takes_the_service_down_twice_becomes_a_dead_letter",
    ),
    Found(
        "a durable command has the message id of somebody else's",
        "the broker acknowledged it and kept nothing",
        "2026-11-29",
        "tests/integration/ops/security/test_command_ids.py::test_a_message_id_takes_no_durable_command_away",
    ),
    Found(
        "the power is cut during the first start of a new or restored store",
        "no later start succeeded: what the rollback journal held was to be taken back by a connection that "
        "only read",
        "2026-11-29",
        "tests/faults/migrations/test_connection.py::"
        "test_a_transaction_that_a_power_cut_ended_is_taken_back_by_whoever_reads_first",
    ),
    Found(
        "a sector of the store cannot be read",
        "the service ended by SIGBUS, without a word",
        "2026-11-29",
        "tests/faults/migrations/test_connection.py::"
        "test_a_page_that_cannot_be_read_is_an_error_and_not_the_end_of_the_process",
    ),
    Found(
        "the store's file is moved, deleted or replaced under a running service",
        "it went on answering, healthy, into a file that nobody would have found again",
        "2026-11-29",
        "tests/faults/ops/service/test_moved_files.py::"
        "test_a_service_ends_when_what_it_stores_goes_to_a_file_that_nobody_will_find",
    ),
    Found(
        "the clock is far ahead while backups are pruned",
        "all but one of them were deleted",
        "2026-11-29",
        "tests/unit/ops/backup/test_retention.py::"
        "test_a_clock_that_is_a_year_ahead_costs_none_of_the_newest_few",
    ),
    Found(
        "a broker loses the tail of a stream in a power cut",
        "durable commands without an id were refused as sent before, or answered with an older one's answer: "
        "their made-up ids were the stream's sequences, which came again",
        "2026-11-29",
        "tests/integration/bus/serving/durable/test_intake.py::"
        "test_commands_without_ids_are_new_ones_where_a_broker_lost_its_tail_and_numbers_them_alike",
    ),
    Found(
        "the end of the archive is cut off",
        "nobody noticed, and a restore would have ended before it",
        "2026-11-29",
        "tests/integration/ops/archive/test_end.py::"
        "test_an_end_that_was_cut_off_is_noticed_and_written_again",
    ),
    Found(
        "a commit fails, and commands without ids follow it",
        "ids of the failed group were forgotten after a restart, so that a retry could have been done twice",
        "2026-11-29",
        "tests/faults/bus/writing/test_commit_failures.py::"
        "test_ids_that_a_failed_commit_indexed_are_known_after_a_restart",
    ),
    Found(
        "a service is frozen, another one is started on a copy of its data, and the first one goes on",
        "both answered, each a half of the commands, for good",
        "2026-11-29",
        "tests/faults/ops/service/test_twins.py::"
        "test_of_a_frozen_service_and_its_successor_one_answers_and_the_other_ends",
    ),
    Found(
        "the clock jumps a year ahead and back",
        "no lease ended and no schedule ran for a year",
        "2026-11-29",
        "tests/integration/ops/service/test_clock_jumps.py::"
        "test_a_lease_ends_and_a_job_comes_due_after_a_jump_of_the_clock",
    ),
    Found(
        "the power is cut on XFS soon after the stream of events was made",
        "nats-server did not know the stream, but its messages were there: they were adopted, and publishing "
        "stopped for good",
        "2026-11-29",
        "tests/faults/bus/publishing/test_relay.py::"
        "test_a_stream_whose_description_was_lost_in_a_power_cut_is_filled_anew",
    ),
    Found(
        "the power is cut after a token was revoked",
        "the token was good again, since its file's name was not on disk",
        "2026-11-29",
        "tests/integration/bus/test_kept_files.py::test_a_file_and_then_its_name_are_on_disk",
    ),
    Found(
        "a commit stores everything and reports a failure behind that",
        "answers that were on disk were refused, and every later one collided with them",
        "2026-11-29",
        "tests/faults/bus/writing/test_commit_failures.py::"
        "test_what_is_on_disk_is_answered_although_its_commit_reports_a_failure",
    ),
    Found(
        "a service is frozen, another one is started on a copy of its data, and the first one goes on",
        "until it looked whether there was a newer one, it answered queries from its old copy: what had been "
        "answered since was not there, and subscribers took the log for another one",
        "2026-11-29",
        "tests/integration/bus/serving/queries/test_queries.py::"
        "test_one_that_another_may_have_taken_over_from_tells_nothing_of_its_store",
    ),
    Found(
        "the same, while the broker loses its streams",
        "the first one did not find the number of the newer one, wrote its own, and stored commands beside "
        "it for up to a second",
        "2026-11-29",
        "tests/integration/bus/publishing/test_incarnation.py::"
        "test_whose_time_ran_out_and_whose_number_is_gone_waits_as_a_successor_does",
    ),
    Found(
        "the power is cut after the first backup, a restore into a new folder, or a new key of a user or to "
        "encrypt to",
        "the folder or the key was gone: it was not on disk when the command said that it was done",
        "2026-11-29",
        "tests/integration/ops/test_names_on_disk.py::test_what_was_made_has_its_name_on_disk",
    ),
    Found(
        "the notes on durable commands that were being decided are damaged",
        "where bytes of theirs were no UTF-8, no start succeeded any more",
        "2026-11-29",
        "tests/unit/bus/serving/durable/test_suspects.py::"
        "test_a_file_that_a_power_cut_has_damaged_is_passed_over",
    ),
    Found(
        "somebody else's message, nested thousands deep, comes into the stream of events",
        "the relay ended with it, and the service with the relay, at each start",
        "2026-11-29",
        "tests/unit/bus/publishing/test_stream_state.py::test_a_message_that_is_not_an_event_is_foreign",
    ),
    Found(
        "a foreign message stands in the stream where a block of events is being published",
        "it took an event's place, and the messages behind it hid that for good: healthy, and an event short",
        "2026-11-29",
        "tests/faults/bus/publishing/test_relay.py::"
        "test_a_message_of_somebody_elses_hides_no_event_of_a_block",
    ),
    Found(
        "messages of the stream are deleted, forged or made undeliverable",
        "nobody noticed, for good",
        "2026-11-29",
        "tests/integration/bus/publishing/test_stream_audit.py::"
        "test_a_message_in_the_place_of_an_event_is_found_whatever_it_claims_to_be",
    ),
    Found(
        "somebody else writes into a mirror's bucket in between",
        "the foreign row stayed, and hid ours",
        "2026-11-29",
        "tests/integration/bus/publishing/test_mirrors.py::test_somebody_elses_write_hides_none_of_many",
    ),
    Found(
        "the store is damaged where an older backup was checked",
        "the next backups were called checked, and could not be restored",
        "2026-11-29",
        "tests/integration/ops/backup/test_backups.py::"
        "test_a_store_that_was_changed_where_a_backup_has_it_gives_no_other_one",
    ),
    Found(
        "one segment of the archive is damaged",
        "`restore --latest` ended there, and what only the present store had was lost",
        "2026-11-29",
        "tests/integration/ops/backup/test_damaged_backups.py::"
        "test_where_no_backup_is_sound_the_log_of_the_store_is_enough",
    ),
    Found(
        "the power is cut on XFS within some fifteen seconds of a stream's change",
        "nats-server had forgotten the stream, since it leaves its description to the system",
        "2026-11-29",
        "tests/integration/bus/broker/test_synced_streams.py::"
        "test_streams_are_on_disk_before_a_service_serves_and_soon_after_each_change",
    ),
    Found(
        "a disk has no inodes left while nats-server is started again",
        "the one that could not be noted kept the port, and the service was down until an operator came",
        "2026-11-29",
        "tests/integration/bus/broker/test_server.py::"
        "test_one_whose_port_cannot_be_noted_leaves_no_child_that_has_the_port",
    ),
    Found(
        "a service is started on a file from before",
        "its relay knew that the stream was ahead, and commands were answered all the same",
        "2026-11-29",
        "tests/faults/ops/service/test_other_histories.py::"
        "test_a_service_whose_stream_is_ahead_of_its_log_stops_to_answer_commands_and_ends",
    ),
    Found(
        "a text of the log is damaged on the disk",
        "the relay ended, and the service with it",
        "2026-11-29",
        "tests/integration/bus/publishing/test_relay_and_other_histories.py::"
        "test_a_log_that_is_damaged_holds_the_relay_up_and_ends_nothing",
    ),
    Found(
        "a start is killed between a migration and the rows that it makes anew",
        "the new columns stayed empty for good, since no migration was pending any more",
        "2026-11-29",
        "tests/integration/ops/store/test_upgrade.py::"
        "test_whoever_is_ended_while_rows_are_filled_finds_the_store_as_it_was",
    ),
    Found(
        "a remembered answer is damaged on the disk",
        "a restore to the latest ended with it, or looked for the next one for ever",
        "2026-11-29",
        "tests/faults/ops/backup/test_damaged_answers.py::"
        "test_the_other_answers_are_restored_whatever_one_is",
    ),
    Found(
        "a service is started on a copy, and its predecessor stores more until it is superseded",
        "it answered from a store that lacked that",
        "2026-11-29",
        "tests/integration/ops/service/test_standing_alone.py::"
        "test_a_copy_that_lacks_what_was_done_until_its_service_took_the_store_is_not_served",
    ),
    Found(
        "the clock jumps ahead by less than a minute, and back",
        "the service's time stayed ahead of it for good, degraded",
        "2026-11-29",
        "tests/unit/ops/service/test_steady_clock.py::"
        "test_what_a_small_jump_there_and_back_has_left_is_made_up_for_in_minutes",
    ),
    Found(
        "an event cannot be read where the stream is compared with the log",
        "the audit never came to what is behind it",
        "2026-11-29",
        "tests/integration/bus/publishing/test_stream_audit.py::"
        "test_an_event_of_which_no_message_can_be_made_hides_nothing_behind_it",
    ),
    Found(
        "the power is cut on XFS soon after nats-server was ended and started again",
        "it knew how far the stream of events was, and had none of its messages, or not the first ones: they "
        "were taken for aged out, for good",
        "2026-11-29",
        "tests/faults/bus/publishing/test_relay.py::"
        "test_a_stream_whose_messages_were_lost_in_a_power_cut_is_filled_anew",
    ),
    Found(
        "the same",
        "what nats-server had acknowledged in the second before its end was never synced by the next one: "
        "durable commands and dead letters, too",
        "2026-11-29",
        "tests/integration/bus/broker/test_synced_streams.py::"
        "test_what_a_server_that_was_killed_wrote_last_is_on_disk_before_the_next_one_begins_and_at_the_end",
    ),
    Found(
        "the power is cut after a kill, and the broker gives sequences again that it lost",
        "a durable command that came on the sequence of one that was being decided was taken for that one, "
        "and became a dead letter at once",
        "2026-11-29",
        "tests/unit/bus/serving/durable/test_portions.py::"
        "test_a_command_on_the_sequence_of_one_that_the_broker_lost_is_no_suspect",
    ),
    Found(
        "a store is restored, and damaged before anything of it is backed up or archived",
        "`restore --latest` brought back what the restore had given up, and the store was not made anew by "
        "itself, though its own log was whole",
        "2026-11-29",
        "tests/integration/ops/backup/test_damaged_backups.py::"
        "test_the_latest_of_a_store_that_was_restored_since_all_was_kept_is_its_own",
    ),
    Found(
        "the store is gone, and all segments of the archive's newest timeline are damaged",
        "a restore to a position or a time was refused, though a backup had all that the archive had",
        "2026-11-29",
        "tests/integration/ops/archive/test_archiver.py::"
        "test_what_a_backup_has_needs_no_archive_unless_that_may_have_gone_on",
    ),
    Found(
        "the disk of the store is lost, whose archive was begun late, or was away for 10,000 events",
        "the archive had answers of later events in a segment before, and a restore forgot them: a command "
        "that was sent again would have been carried out again",
        "2026-11-29",
        "tests/integration/ops/archive/test_archived_answers.py::"
        "test_an_answer_is_in_the_segment_of_its_event",
    ),
    Found(
        "the disk of the store is lost, and a command behind the last event of a backup had changed nothing",
        "a restore from that backup and the archive forgot its answer",
        "2026-11-29",
        "tests/integration/ops/archive/test_archived_answers.py::"
        "test_an_answer_behind_the_backup_that_changed_nothing_is_remembered",
    ),
    Found(
        "the service is killed behind a commit, and again while it answers the same durable command",
        "the command was carried out, once, and its sender was told that the service went down with it: it "
        "became a dead letter",
        "2026-11-29",
        "tests/faults/bus/serving/test_poison.py::"
        "test_a_command_that_was_carried_out_before_two_ends_gets_its_own_answer",
    ),
    Found(
        "the stream of events is deleted on a shared nats-server, while the relay is at work",
        "the one that was made at once had the old one's messages, now and then, and nothing was published "
        "until somebody had it refilled",
        "2026-11-29",
        "tests/faults/bus/publishing/test_relay.py::"
        "test_a_stream_whose_description_was_lost_in_a_power_cut_is_filled_anew",
    ),
    Found(
        "the WAL of a young store is damaged where it says whose it is",
        "the store began anew, without a word, beside an archive that had all of it",
        "2026-11-30",
        "tests/faults/ops/backup/test_verdicts.py::"
        "test_a_young_store_whose_wal_is_damaged_anywhere_never_begins_anew_beside_its_archive",
    ),
)

# The causes of breaks in kept runs, by experiment and seed: a mistake of the experiment, or a defect and the
# day since when it is mended.
JUDGED: Mapping[tuple[str, int], str] = {
    ("strikes-in-the-midst", 4146623184): "a mistake of the experiment's: it started the service while the "
    "restore that it had asked for still had the store",
    (
        "kills-under-load",
        1904122066,
    ): "a mistake of the experiment's: a durable command that was being decided "
    "at two kills became a dead letter, as it is to",
    ("power-cuts-on-ext4", 1904122064): "a mistake of the experiment's: it asked for more than a thousand "
    "answers at once, and took `busy`, as some of them are refused then, for none",
    ("power-cuts-on-xfs", 1904122064): "mended on 2026-11-29: the stream's messages were gone, all of them, "
    "and taken for aged out",
    ("stories-of-replication", 3235276391): "a mistake of the experiment's: it looked for what is to be done "
    "while the connection was lost, which is told first",
    ("cuts-of-a-migration", 672839372): "a mistake of the experiment's: it asked again before it looked, and "
    "what was lost and carried out once more got the same answer, byte for byte",
    (
        "cuts-without-a-sync",
        672839369,
    ): "a mistake of the experiment's: in that recording, the next start mends "
    "what the sync's absence does; four are made now",
    (
        "disks-in-trouble",
        672839370,
    ): "a mistake of the experiment's: the service had taken the room that was to be taken from it",
    (
        "soak",
        672839369,
    ): "mended on 2026-11-30: what threads had taken for a moment, for segments and backups, "
    "stayed with the process; and the experiment's load was not steady, of which jobs were left over",
    (
        "damage",
        672839376,
    ): "mended on 2026-11-30: a store of which all but its tables was lost with a WAL began "
    "anew beside its archive",
}

# Sentences about conclusions that a reader may not draw from the page.
NOT_COVERED = (
    "Disks that lie: one that reports a sync done and has not done it loses what it was told to keep, here "
    "as everywhere.",
    "More than one machine: there is one service and one file. What its disk loses is had again from "
    "backups and the archive, up to the last second or two that they have.",
    "Memory that changes bits, and processors that miscalculate. What such a machine writes is found where "
    "hashes are compared, and not before.",
    "Whoever has the rights of the service's own user on its machine: see docs/security.md for who is kept "
    "from what.",
    "Other systems than Linux, and other file systems than those that are named above.",
    "Machines much larger than those that are named above, and histories much longer: what took an hour here "
    "was not tried for a year.",
    "What the simulation leaves out: HTTP, mirrors, the archive, backups and users of their own have no part "
    "in it. Its broker is a model, which is compared with the real one in what relay and durable commands "
    "ask of it.",
)
