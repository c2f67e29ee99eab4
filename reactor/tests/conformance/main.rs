//! One suite for every backend: what a program sees of them must be the same.

#[path = "../support/mod.rs"]
mod support;

mod datagrams;
mod files;
mod pipes;
mod registered;
mod registrations;
mod sockets;
mod timeouts;
mod triggers;
mod unix_sockets;
mod wakers;

use reactor::Backend;

/// One `#[test]` for each name.
macro_rules! tests {
    ($backend:expr; $($module:ident: $($test:ident),* ;)*) => {
        $($(
            #[test]
            fn $test() {
                if $crate::support::is_available($backend) {
                    $crate::$module::$test($backend);
                }
            }
        )*)*
    };
}

/// The suite: every test of every module, under the backend's name.
macro_rules! conformance {
    ($name:ident, $backend:expr) => {
        mod $name {
            use super::*;
            tests! { $backend;
                triggers:
                    an_edge_is_told_once,
                    an_edge_is_told_again_when_data_follows_a_drained_read,
                    an_edge_is_told_again_when_data_follows_a_short_read,
                    an_edge_half_read_and_followed_by_data_is_told_again,
                    an_edge_for_room_is_told_again_after_a_refused_write,
                    a_full_write_causes_no_event,
                    an_edge_after_the_end_of_the_stream_is_silent,
                    a_level_is_told_on_every_wait,
                    a_level_for_room_is_told_on_every_wait,
                    a_one_shot_is_told_once_until_it_is_loaded_again,
                    a_one_shot_for_both_directions_is_told_once,
                    the_trigger_belongs_to_the_registration,
                    reregistering_tells_again_what_is_ready,
                    reregistering_replaces_token_interest_and_trigger,
                    only_what_was_asked_for_is_told,
                    a_raw_descriptor_has_all_three_triggers,
                    an_edge_read_past_us_by_its_number_is_told_again,
                    an_edge_for_room_whose_number_was_asked_for_is_silent,
                    no_edge_is_lost_in_a_long_conversation;
                registrations:
                    a_second_registration_is_refused_by_name,
                    what_is_not_registered_cannot_be_changed,
                    a_closed_descriptor_cannot_be_registered,
                    a_deregistered_source_is_silent_and_may_come_back,
                    every_bit_of_a_token_comes_back,
                    tokens_need_not_be_unique,
                    duplicates_are_sources_of_their_own,
                    a_boxed_source_is_a_source,
                    a_registration_from_another_thread_reaches_the_wait_in_progress,
                    a_reregistration_from_another_thread_reaches_the_wait_in_progress,
                    a_close_after_deregistering_is_a_close,
                    a_close_after_deregistering_in_another_thread_is_a_close,
                    a_registry_outlives_its_poll,
                    the_descriptor_of_a_poll_stands_for_all_it_watches,
                    registering_and_waiting_at_the_same_time_loses_nothing,
                    a_descriptor_closed_without_deregistering_is_silenced,
                    a_thousand_sources_are_all_heard,
                    the_capacity_doubles_when_it_was_not_enough,
                    events_can_be_counted_and_cleared;
                sockets:
                    a_listener_accepts_until_it_would_block,
                    a_connection_is_told_as_writable,
                    a_refused_connection_wakes_the_writer,
                    a_half_close_is_not_a_hang_up,
                    a_close_in_both_directions_is_a_hang_up,
                    a_reset_is_told_and_read_as_such,
                    a_hung_up_edge_is_told_once_and_does_not_spin,
                    urgent_data_is_its_own_interest,
                    urgent_data_is_told_as_an_edge,
                    peeking_takes_nothing,
                    a_peeked_source_is_told_again,
                    vectored_calls_move_bytes,
                    own_input_and_output_goes_through_try_io,
                    options_are_those_of_the_socket,
                    sockets_convert_from_and_to_descriptors,
                    a_ping_pong_of_ten_thousand_rounds;
                wakers:
                    a_wake_ends_the_wait_of_another_thread,
                    a_wake_before_the_wait_ends_it,
                    a_waker_needs_no_draining,
                    without_a_wake_a_waker_is_silent,
                    several_wakers_have_their_own_tokens,
                    a_dropped_waker_is_silent,
                    every_message_before_a_wake_is_seen;
                timeouts:
                    a_timeout_is_not_an_error,
                    zero_does_not_wait,
                    a_short_timeout_is_not_truncated,
                    no_timeout_and_a_huge_one_wait_for_the_event,
                    an_idle_wait_does_not_burn_time;
                files:
                    a_regular_file_is_always_ready,
                    a_directory_and_the_null_device_are_always_ready,
                    a_file_registered_from_another_thread_reaches_the_wait_in_progress,
                    a_deregistered_file_is_silent;
                datagrams:
                    a_datagram_is_told_and_names_its_sender,
                    a_connected_socket_hears_its_peer_alone,
                    an_edge_is_told_again_after_every_way_to_receive,
                    an_edge_is_told_again_after_every_way_to_peek,
                    an_empty_datagram_is_no_end,
                    a_refusal_is_told_however_the_last_one_was_taken,
                    a_refusal_nobody_takes_does_not_spin,
                    room_for_datagrams_is_told_again_after_a_refused_send,
                    a_datagram_that_was_sent_causes_no_event,
                    a_datagram_too_long_for_the_buffer_loses_its_tail,
                    udp_options_are_those_of_the_socket,
                    a_group_is_heard_while_it_is_joined,
                    a_group_over_ipv6_is_heard_while_it_is_joined,
                    what_cannot_be_sent_says_why,
                    datagram_sockets_convert_from_and_to_descriptors;
                unix_sockets:
                    a_listener_at_a_path_accepts_until_it_would_block,
                    an_edge_is_told_again_after_an_accept,
                    a_pair_talks_both_ways,
                    a_unix_stream_waits_for_room,
                    a_unix_stream_closes_in_two_halves,
                    own_calls_on_unix_sockets_go_through_try_io,
                    a_unix_datagram_names_its_sender,
                    a_datagram_to_nobody_is_refused_and_says_so,
                    a_path_that_is_taken_or_too_long_is_named_in_the_error,
                    a_client_whose_name_is_too_long_for_std_is_served,
                    unix_sockets_convert_from_and_to_descriptors;
                pipes:
                    an_edge_of_a_pipe_is_told_again_after_a_read,
                    an_edge_of_a_pipe_is_told_again_after_a_refused_write,
                    a_pipe_ends_when_its_sender_is_gone,
                    a_pipe_nobody_reads_is_broken,
                    a_pipe_told_to_block_blocks,
                    pipes_convert_from_and_to_descriptors;
                registered:
                    a_dropped_source_is_silent_although_a_duplicate_lives,
                    a_dropped_source_leaves_its_number_free,
                    a_registered_source_is_what_it_holds,
                    a_registered_source_keeps_its_trigger,
                    a_source_taken_out_is_not_registered,
                    a_source_that_cannot_be_deregistered_is_closed_all_the_same,
                    a_source_that_cannot_be_registered_is_closed,
                    a_registered_source_may_be_dropped_while_another_thread_waits,
                    a_registered_source_outlives_its_poll,
                    a_borrowed_descriptor_has_all_three_triggers,
                    an_owned_descriptor_is_a_source;
            }
            #[cfg(has_abstract_addresses)]
            tests! { $backend;
                unix_sockets:
                    an_abstract_name_is_an_address;
            }
        }
    };
}

// A new backend is one more line.
conformance!(select, Backend::Select);
conformance!(poll, Backend::Poll);
#[cfg(has_epoll)]
conformance!(epoll, Backend::Epoll);
#[cfg(has_kqueue)]
conformance!(kqueue, Backend::Kqueue);
#[cfg(has_polling)]
conformance!(polling, Backend::Polling);
#[cfg(has_io_uring)]
conformance!(io_uring, Backend::IoUring);
