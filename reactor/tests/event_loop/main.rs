//! One suite for the event loop on every backend: what a program sees of it must be the same.
//!
//! Nothing here starts a process: between fork and exec it would hold every descriptor of the tests beside it, and what they
//! close would not be closed. (Those that must are in `processes.rs`.)

#[path = "../support/mod.rs"]
mod support;

mod agreement;
mod bench;
mod closing;
mod connecting;
mod conversation;
mod converse;
mod limits;
mod listening;
mod messages;
mod output;
mod panics;
mod shutdown;
#[cfg(feature = "signal-hook")]
mod signals;
mod sources;
mod timers;
mod triggers;
mod turn;

use reactor::{Backend, Trigger};

/// One `#[test]` for each name.
macro_rules! tests {
    ($backend:expr, $trigger:expr; $($module:ident: $($test:ident),* ;)*) => {
        $($(
            #[test]
            fn $test() {
                if $crate::support::is_available($backend) {
                    $crate::bench::TRIGGER.set($trigger);
                    $crate::$module::$test($backend);
                }
            }
        )*)*
    };
}

/// The suite: every test of every module, under the backend's name. With a trigger: what has to do with connections, once more.
macro_rules! event_loop {
    ($name:ident, $backend:expr) => {
        mod $name {
            use super::*;
            conversations! { $backend, None }
            #[cfg(feature = "signal-hook")]
            tests! { $backend, None;
                sources:
                    an_event_of_the_same_batch_for_a_removed_source_is_dropped;
                signals:
                    a_signal_runs_the_programs_function_in_a_turn,
                    several_loops_hear_the_same_signal,
                    a_signal_shuts_the_loop_down,
                    a_signal_that_cannot_be_caught_is_an_error,
                    an_event_of_the_same_batch_for_a_closed_connection_is_dropped;
            }
        }
    };
    ($name:ident, $backend:expr, $trigger:expr) => {
        mod $name {
            use super::*;
            conversations! { $backend, Some($trigger) }
        }
    };
}

macro_rules! conversations {
    ($backend:expr, $trigger:expr) => {
        tests! { $backend, $trigger;
            conversation:
                what_is_not_consumed_is_offered_again_longer,
                what_is_left_after_a_bite_is_offered_at_once,
                an_overclaimed_consumption_is_clamped_and_counted,
                the_end_of_the_stream_comes_after_all_input_and_once,
                a_fin_behind_a_paused_read_is_delivered_after_resume,
                a_fin_alone_behind_a_paused_read_is_delivered_after_resume,
                resume_offers_what_is_held_and_then_asks_the_kernel,
                what_is_held_is_offered_after_a_pause_from_elsewhere,
                a_fin_behind_a_full_read_is_delivered,
                a_fin_with_the_first_bytes_is_delivered,
                a_fin_does_not_overtake_what_is_held_until_drained,
                a_reset_while_paused_is_bounded_by_the_idle_limit,
                a_paused_connection_whose_peer_hung_up_does_not_spin,
                a_protocol_that_declares_how_far_it_searched_reads_it_again,
                reading_goes_on_while_writing_is_blocked,
                writing_goes_on_while_reading_is_paused,
                urgent_data_does_not_spin_and_does_not_disturb,
                tiny_requests_with_large_answers_stop_at_the_high_water_mark,
                a_peer_that_finished_sending_still_gets_a_late_answer,
                after_close_write_reading_goes_on_until_the_peer_finishes,
                a_half_close_waits_for_what_is_unsent,
                nothing_is_sent_before_the_callback_returns;
            output:
                pieces_of_every_kind_arrive_in_order,
                ten_megabytes_of_pieces_reach_a_slow_reader,
                a_file_larger_than_the_socket_buffers_arrives_whole,
                a_truncated_file_ends_the_connection_and_says_so,
                writes_after_close_are_ignored,
                output_beyond_the_high_mark_pauses_reading_until_the_low_mark,
                drained_comes_once_for_each_request_and_not_in_the_same_turn,
                drained_comes_when_the_peer_took_enough,
                drained_comes_after_a_half_close_too,
                an_endless_producer_does_not_starve_a_neighbour,
                too_much_output_ends_the_connection,
                files_and_static_pieces_are_no_burden_and_do_not_count,
                output_of_several_callbacks_stays_in_order_behind_a_full_socket,
                memory_is_given_back_when_nothing_is_left_over;
            closing:
                a_conversation_that_both_sides_ended_is_finished,
                a_peer_that_ends_in_the_middle_of_a_request_is_told_apart,
                a_peer_that_is_gone_before_everything_was_sent_is_told_apart,
                a_protocol_that_closes_by_itself_is_finished_whatever_is_left,
                a_reset_is_told_as_such,
                a_reset_behind_a_question_is_told_as_such_whatever_the_answer,
                an_abort_is_a_reset_for_the_peer,
                an_abort_loses_what_is_unsent,
                an_abort_in_a_timer_reaches_the_peer_at_once,
                an_abort_before_the_first_turn_reaches_the_peer_at_once,
                last_words_survive_unread_input,
                what_is_unsent_at_close_is_flushed_first,
                a_close_waits_for_the_peer_to_finish_but_not_for_ever,
                a_close_after_the_peer_finished_does_not_linger,
                lingering_is_bounded_in_bytes,
                without_linger_time_a_close_does_not_wait,
                messages_do_not_prolong_lingering,
                a_peer_that_takes_nothing_does_not_keep_a_closing_connection,
                an_answer_that_is_cut_short_ends_with_a_reset,
                a_slow_but_steady_peer_gets_everything_after_close,
                closing_drops_a_connections_timers,
                closing_in_closed_and_after_closed_changes_nothing,
                a_closed_connection_with_a_living_duplicate_is_silent,
                a_recycled_place_and_descriptor_get_no_old_news,
                a_protocol_is_dropped_in_the_turn_in_which_it_closed,
                a_loop_that_is_dropped_closes_what_it_holds,
                a_thousand_connects_and_resets_leave_nothing_behind,
                a_hang_up_does_not_swallow_what_came_before_it,
                a_peer_that_closes_while_being_answered_ends_the_connection;
            limits:
                newcomers_wait_in_the_backlog_and_are_served_later,
                a_full_loop_refuses_to_connect_and_to_adopt,
                further_connections_from_one_address_are_refused,
                a_request_that_is_too_long_ends_the_connection,
                the_limit_on_requests_counts_only_while_more_is_wanted,
                a_request_that_is_not_finished_in_time_ends_the_connection,
                the_time_for_a_request_stands_still_while_the_protocol_paused,
                a_connection_on_which_nothing_moves_ends,
                traffic_in_either_direction_keeps_a_connection,
                an_attempt_that_is_not_answered_ends_in_time,
                the_time_to_connect_does_not_count_afterwards,
                a_slow_turn_does_not_make_others_idle;
            timers:
                a_timer_rings_once_and_not_early,
                a_timer_of_the_program_counts_from_now_and_not_from_the_last_turn,
                a_timer_is_restarted_in_its_callback,
                a_timer_without_delay_lets_input_through,
                a_loop_that_is_never_idle_lets_timers_ring,
                a_timer_cancels_another_that_is_due_at_the_same_time,
                a_timer_of_a_connection_closed_in_the_same_batch_is_silent,
                timers_ring_in_the_order_of_their_deadlines,
                what_was_to_run_later_is_cancelled_once,
                a_timer_belongs_to_its_connection,
                the_loops_own_deadline_is_not_the_protocols_to_cancel,
                timers_started_and_cancelled_by_the_thousand_never_ring,
                ten_thousand_timers_ring_each_once,
                the_time_is_that_of_the_turn,
                a_turn_waits_no_longer_than_asked,
                a_timer_for_ever_and_a_day_does_not_overflow;
            messages:
                messages_arrive_in_the_order_they_were_sent,
                a_message_sent_in_the_mailbox_phase_arrives_in_the_next_turn,
                a_message_to_many_is_one_entry_in_the_mailbox,
                a_message_to_the_dead_is_dropped_and_counted,
                a_message_to_somebody_who_closes_in_the_same_turn_is_dropped,
                the_last_call_may_send_messages,
                a_message_to_oneself_waits_for_the_mailbox_phase,
                a_flood_of_messages_to_many_is_bounded_by_the_mailbox,
                another_thread_sends_runs_and_shuts_down,
                every_message_of_every_thread_arrives_in_order,
                a_letter_ends_a_wait_without_limit,
                timers_sockets_and_letters_share_one_wait,
                a_handle_outlives_its_loop,
                a_shutdown_gets_through_a_full_mailbox,
                a_handle_is_send_although_the_protocol_is_not,
                wishes_of_a_spawner_that_were_not_met_are_dropped_with_the_loop;
            connecting:
                a_connection_over_tcp_is_opened_and_talks,
                a_connection_over_a_unix_socket_is_opened_and_talks,
                a_refused_connection_is_never_opened,
                a_path_that_leads_nowhere_is_an_error_in_words,
                what_is_no_connected_socket_is_not_adopted,
                an_adopted_stream_that_was_reset_is_told_so,
                an_adopted_stream_with_bytes_in_it_is_read,
                a_callback_opens_connections_through_a_spawner,
                what_a_spawner_cannot_open_is_told_to_its_protocol,
                a_panic_in_a_protocol_that_could_not_be_opened_ends_nobody_else,
                a_message_before_the_connection_stands_does_not_lose_the_connection,
                an_attempt_ended_by_a_message_is_over,
                the_peer_of_an_adopted_stream_sees_the_end_when_it_closes,
                a_hundred_connections_at_once_are_opened;
            listening:
                a_listener_says_where_it_is_and_who_comes,
                an_address_in_use_is_an_error_in_words,
                a_listener_at_all_addresses_serves_both_families,
                a_path_is_removed_when_its_listener_ends,
                a_path_that_a_dead_server_left_behind_is_taken_over,
                a_path_where_somebody_listens_or_something_else_stands_is_left_alone,
                a_connection_without_a_protocol_is_refused,
                a_listeners_function_that_panics_refuses_one_and_serves_the_next,
                two_listeners_speak_each_for_itself,
                a_connection_that_was_reset_in_the_backlog_harms_nobody,
                a_listener_that_was_inherited_is_served_and_its_path_left_alone;
            sources:
                a_source_is_called_on_every_turn_in_which_it_is_ready,
                a_source_removes_itself,
                a_removed_source_is_silent_and_its_place_is_anothers,
                a_source_changes_what_it_waits_for,
                a_source_that_fails_is_removed_and_the_operator_told,
                a_descriptor_is_watched_once,
                a_source_sends_messages,
                a_file_is_a_source_that_is_always_ready,
                a_source_that_makes_no_progress_is_not_taken_for_a_busy_loop;
            panics:
                a_panic_in_any_callback_ends_that_connection_and_no_other,
                a_panic_in_closed_leaks_no_place,
                a_panic_in_drop_leaks_no_place,
                a_panic_with_a_brittle_payload_is_survived,
                a_panic_among_many_events_lets_the_rest_of_the_batch_through,
                a_panic_of_one_receiver_of_many_keeps_the_message_from_no_other,
                a_panic_in_a_messages_clone_is_the_programs_and_loses_only_that_message,
                a_panic_in_a_closure_is_the_programs_and_leaves_the_loop_whole;
            shutdown:
                a_loop_without_connections_shuts_down_at_once,
                an_idle_connection_is_closed_at_once,
                bytes_that_arrived_before_the_shutdown_are_answered,
                a_request_in_progress_is_finished,
                an_answer_in_progress_is_sent_whole,
                after_the_grace_whoever_is_left_is_aborted,
                without_grace_everybody_is_aborted,
                a_second_shutdown_changes_the_grace,
                a_loop_that_shuts_down_takes_nobody_new,
                a_loop_that_was_shut_down_may_begin_again,
                an_attempt_to_connect_ends_with_the_shutdown,
                a_shutdown_in_a_callback_of_the_loop_itself_works,
                a_silent_peer_is_given_the_linger_time,
                a_half_closed_peer_is_answered_before_the_end,
                many_connections_shut_down_together;
            turn:
                the_phases_of_a_turn_keep_their_order,
                one_fast_peer_does_not_starve_the_rest,
                a_share_is_one_read,
                a_small_event_buffer_does_not_starve_quiet_connections,
                normal_use_is_no_busy_loop,
                an_idle_loop_sleeps,
                a_wait_that_is_interrupted_goes_on_with_what_is_left,
                everything_counted_adds_up,
                a_boxed_protocol_is_a_protocol;
        }
    };
}

// A new backend is one more line.
event_loop!(select, Backend::Select);
event_loop!(poll, Backend::Poll);
#[cfg(has_epoll)]
event_loop!(epoll, Backend::Epoll);
#[cfg(has_kqueue)]
event_loop!(kqueue, Backend::Kqueue);
#[cfg(has_polling)]
event_loop!(polling, Backend::Polling);
#[cfg(has_io_uring)]
event_loop!(io_uring, Backend::IoUring);

// The triggers that no loop chooses itself.
event_loop!(poll_with_one_shots, Backend::Poll, Trigger::OneShot);
#[cfg(has_epoll)]
event_loop!(epoll_with_levels, Backend::Epoll, Trigger::Level);
#[cfg(has_epoll)]
event_loop!(epoll_with_one_shots, Backend::Epoll, Trigger::OneShot);
#[cfg(has_kqueue)]
event_loop!(kqueue_with_levels, Backend::Kqueue, Trigger::Level);
#[cfg(has_io_uring)]
event_loop!(io_uring_with_levels, Backend::IoUring, Trigger::Level);
